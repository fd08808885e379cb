// When things were: a bar per step and item, silences, who took over.

import { length } from "./format.js";
import { html } from "./html.js";
import { useLasting } from "./lasting.js";
import { Virtual } from "./virtual.js";

const HEIGHT = 28;

export function Timeline({ run }) {
  const { rows, began, ended, gaps, marks } = useLasting(run);
  if (!rows.length) return html`<p class="hint">No events yet.</p>`;
  const whole = Math.max(1, ended - began);
  const at = (time) => `${((time - began) / whole) * 100}%`;
  const wide = (from, to) => `${Math.max(0.15, ((to - from) / whole) * 100)}%`;
  const draw = (index) => {
    const row = rows[index];
    const to = row.ended ?? ended;
    return html`<div key=${row.key} class=${`bar-row ${row.kind} ${row.state}`} title=${`${row.label}: ${length(to - row.began)}`}>
      <span class="name">${row.label}</span>
      <span class="track"><span class="bar" style=${{ left: at(row.began), width: wide(row.began, to) }} />
        ${row.first && html`<span class="first" style=${{ left: at(row.first) }} title="first event of its answer" />`}</span>
      <span class="time">${length(to - row.began)}</span>
    </div>`;
  };
  return html`<div class="timeline">
    <div class="bar-row scale"><span class="name">${length(whole)} in all</span>
      <span class="track" role="img" aria-label=${told(gaps, marks)}>
        ${gaps.map((gap) => html`<span key=${gap.from} class="gap" style=${{ left: at(gap.from), width: wide(gap.from, gap.to) }} title=${`nothing for ${length(gap.to - gap.from)}`} />`)}
        ${marks.map((mark) => html`<span key=${mark.seq} class=${`mark ${mark.kind}`} style=${{ left: at(mark.timestamp) }} title=${`#${mark.seq} ${mark.text}`} />`)}
      </span><span class="time" /></div>
    <${Virtual} length=${rows.length} height=${HEIGHT} draw=${draw} label="Steps and items" />
    ${
      (gaps.length > 0 || marks.length > 0) &&
      html`<ul class="notes">
      ${marks.map((mark) => html`<li key=${mark.seq}><span class=${`key ${mark.kind}`} />#${mark.seq} ${mark.text}, after ${length(mark.timestamp - began)}</li>`)}
      ${gaps.slice(0, 20).map((gap) => html`<li key=${gap.from}><span class="key gap" />nothing for ${length(gap.to - gap.from)}${gap.before ? `, until ${gap.before}` : ""}</li>`)}
    </ul>`
    }
  </div>`;
}

const KINDS = {
  takeover: "takeovers",
  retry: "retries",
  failed: "failed steps",
  limit: "limits",
  irregular: "irregularities",
};

/** The scale in words. */
function told(gaps, marks) {
  const counts = Object.entries(KINDS).map(([kind, words]) => [
    words,
    marks.filter((mark) => mark.kind === kind).length,
  ]);
  return [["silences", gaps.length], ...counts.filter(([, number]) => number)].map((one) => one.join(": ")).join(", ");
}
