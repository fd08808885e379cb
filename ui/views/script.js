// A program that the model wrote to call tools, and what it returned.

import { parsed } from "./calls.js";
import { Card, pretty } from "./card.js";
import { Code, Foldable } from "./code.js";
import { length } from "./format.js";
import { html } from "./html.js";

const STATES = { running: "running", done: "done", failed: "failed" };

export function Script({ item, output, grows, isOver, times, script }) {
  const state = output ? (output.success ? "done" : "failed") : isOver ? "done" : (STATES[script?.state] ?? "running");
  return html`<${Card} icon="code" kind="tool" title="Script" detail=${item.language} state=${state} times=${times}>
    <${Foldable} text=${item.code} grows=${grows}>
      ${(shown) => html`<pre tabindex="0" aria-label="code"><${Code} text=${shown} language=${grows ? null : item.language} /></pre>`}
    <//>
    ${output && html`<${Returned} output=${output} />`}
  <//>`;
}

/** What came of a script; also where it stands alone. */
export function Returned({ output }) {
  const value = parsed(output.result);
  const logs = output.logs ?? [];
  return html`<div class="outcome">
    ${(output.operations ?? []).map(
      (one, at) => html`<p key=${at} class=${`operation ${one.success ? "" : "failed"}`}>
      <code>${one.tool}</code> <span class="hint">${JSON.stringify(one.arguments)}</span> <span class="time">${length(one.duration_ms)}</span></p>`,
    )}
    ${logs.length > 0 && html`<pre class="terminal" tabindex="0" aria-label="log">${logs.join("\n")}</pre>`}
    ${output.error && html`<p class="error-text"><strong>${output.error.code}</strong> ${output.error.message}</p>`}
    ${
      output.result &&
      html`<${Foldable} text=${value === undefined ? output.result : pretty(value)}>
      ${(shown) => html`<pre tabindex="0" aria-label="result"><${Code} text=${shown} language="json" /></pre>`}<//>`
    }
  </div>`;
}
