// A log as a timeline: what lasted from when to when.

import { TERMINAL } from "../state/fold.js";
import { useRef } from "./html.js";

const SILENCE_MS = 1000; // of a log, that is worth a word

/** Takes events one after another; what it has come to is in its fields. Times are the log's. */
export class Lasting {
  rows = []; // {key, kind: "step" | an item's type, label, began, first?, ended?, state}
  gaps = []; // {from, to, before}
  marks = [];
  began = 0;
  ended = 0;
  taken = 0;
  #byKey = new Map();
  #step = null;

  take(event) {
    const { payload, timestamp, type } = event;
    if (this.taken === 0) this.began = timestamp;
    else if (timestamp - this.ended > SILENCE_MS) this.gaps.push({ from: this.ended, to: timestamp, before: type });
    this.ended = timestamp;
    this.taken += 1;
    HANDLERS[type]?.(this, payload, timestamp);
    if (TERMINAL.has(type)) this.close(timestamp);
  }

  open(row) {
    this.rows.push(row);
    this.#byKey.set(row.key, row);
    if (row.kind === "step") this.#step = row;
    else if (this.#step && row.origin !== "user") this.#step.first ??= row.began;
  }

  end(key, ended, state) {
    const row = this.#byKey.get(key);
    if (row) Object.assign(row, { ended, state });
  }

  /** Whatever is still open ends with the run. */
  close(timestamp) {
    for (const row of this.rows) row.ended ??= timestamp;
  }
}

const HANDLERS = {
  step_start: (lasting, { step, model_id }, began) =>
    lasting.open({ key: `step ${step}`, kind: "step", label: `Step ${step} · ${model_id}`, began, state: "running" }),
  step_done: (lasting, { step, finish_reason }, ended) =>
    lasting.end(`step ${step}`, ended, finish_reason === "error" ? "failed" : "done"),
  item_start: (lasting, { item_id, item_type, name, provider_type, origin }, began) =>
    lasting.open({
      key: item_id,
      kind: item_type,
      label: name ?? provider_type ?? (origin === "user" ? "user" : item_type),
      origin,
      began,
      state: "running",
    }),
  item_done: (lasting, { item_id }, ended) => lasting.end(item_id, ended, "done"),
  item_error: (lasting, { item_id }, ended) => lasting.end(item_id, ended, "failed"),
  item_cancelled: (lasting, { item_id }, ended) => lasting.end(item_id, ended, "cancelled"),
};

/** The timeline of a run as far as its events have come. */
export function useLasting(run) {
  const held = useRef({ run: null, lasting: null });
  if (held.current.run !== run) held.current = { run, lasting: new Lasting() };
  const { lasting } = held.current;
  for (let at = lasting.taken; at < run.events.length; at += 1) lasting.take(run.events[at]);
  lasting.marks = run.facts.marks;
  return lasting;
}
