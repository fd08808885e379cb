// A run's events, one to a line; one of them whole.

import { pretty } from "./card.js";
import { CopyButton } from "./copy.js";
import { count } from "./format.js";
import { classes, html, useMemo, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { Virtual } from "./virtual.js";

const HEIGHT = 30;
const SUMMARY = 160; // characters

/** What an event says, in a line. */
export function summary({ payload }) {
  const said = SUMMARIES[payload.type]?.(payload);
  return (said ?? "").replace(/\s+/g, " ").slice(0, SUMMARY);
}

const SUMMARIES = {
  response_start: (p) => `${p.provider_id}/${p.model_id}`,
  step_start: (p) => `step ${p.step} · ${p.provider_id}/${p.model_id}`,
  step_done: (p) => `step ${p.step} · ${p.finish_reason}${p.usage ? ` · ${p.usage.total_tokens} tokens` : ""}`,
  item_start: (p) => [p.item_type, p.name ?? p.provider_type, p.initial_content].filter(Boolean).join(" · "),
  item_delta: (p) => (p.channel ? `${p.channel}: ${p.delta_content}` : p.delta_content),
  item_done: (p) => p.final_item.content ?? p.final_item.output ?? p.final_item.arguments ?? p.final_item.type,
  item_error: (p) => `${p.error.code}: ${p.error.message}`,
  item_cancelled: (p) => p.reason,
  approval_requested: (p) => `${p.tool} · ${p.reason}`,
  approval_resolved: (p) => `${p.decision} by ${p.by}${p.reason ? `: ${p.reason}` : ""}`,
  usage_update: (p) => `${p.usage.total_tokens} tokens`,
  provider_event: (p) => [p.provider_id, p.name, p.data?.error?.message].filter(Boolean).join(" · "),
  response_done: (p) => p.finish_reason,
  response_error: (p) => `${p.error.code}: ${p.error.message}`,
  turn_aborted_by_user: (p) => p.reason,
};

/** Events that have all of these words in them, among those that were looked through before. */
function useFiltered(events, words, type) {
  const held = useRef({ key: null, seen: 0, found: [] });
  const key = `${type}\n${words}`;
  if (held.current.key !== key || held.current.seen > events.length) held.current = { key, seen: 0, found: [] };
  const { found, seen } = held.current;
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (event) => (!type || event.type === type) && (!wanted.length || has(event, wanted));
  for (let at = seen; at < events.length; at += 1) if (fits(events[at])) found.push(events[at]);
  held.current.seen = events.length;
  return found;
}

function has(event, words) {
  const text = `#${event.seq} ${JSON.stringify(event.payload)}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

export function LogTable({ run }) {
  const [words, find] = useState("");
  const [type, only] = useState("");
  const [chosen, choose] = useState(null);
  const { events } = run;
  const found = useFiltered(events, words, type);
  const types = useMemo(() => [...new Set(events.map((event) => event.type))].sort(), [events.length]);
  const began = events[0]?.timestamp ?? 0;
  const draw = (index) => {
    const event = found[index];
    return html`<button type="button" key=${event.seq} class=${classes("event", event.type, event.seq === chosen?.seq && "chosen")} onClick=${() => choose(event)}>
      <span class="seq">${event.seq}</span><span class="time">+${((event.timestamp - began) / 1000).toFixed(2)}</span>
      <span class="type">${event.type}</span><span class="what">${summary(event)}</span></button>`;
  };
  return html`<div class="log">
    <div class="row filters">
      <label class="search"><${Icon} name="search" size="15" /><input type="search" aria-label="Filter events" placeholder="Filter: words, an item's id, #seq" value=${words} onInput=${(event) => find(event.target.value)} /></label>
      <select aria-label="Type of event" value=${type} onChange=${(event) => only(event.target.value)}><option value="">every type</option>${types.map((one) => html`<option key=${one}>${one}</option>`)}</select>
      <span class="hint">${found.length === events.length ? "" : `${count(found.length)} of them`}</span>
    </div>
    <${Virtual} length=${found.length} height=${HEIGHT} draw=${draw} label="Events" follow=${!run.ended} />
    ${chosen && html`<${Whole} event=${chosen} close=${() => choose(null)} />`}
  </div>`;
}

function Whole({ event, close }) {
  return html`<section class="whole" aria-label=${`Event ${event.seq}`}>
    <div class="label"><span>#${event.seq} · ${event.type}</span><span class="space" /><${CopyButton} text=${() => JSON.stringify(event, null, 2)} label="Copy the event" />
      <button type="button" class="quiet small" aria-label="Close the event" onClick=${close}><${Icon} name="cross" size="14" /></button></div>
    <pre tabindex="0">${pretty(event)}</pre>
  </section>`;
}
