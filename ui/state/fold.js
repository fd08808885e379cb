// Events to Response: state = fold(log). The same fold as the server's (src/tailrace/fold/reducer.py), to the field.
//
// Idempotent by `seq`: what has been seen is passed over, so that replays and duplicates change nothing. O(1) per event.
// Tolerant: an event that fits nowhere is counted in `ignored` and changes nothing.

import { Draft } from "./draft.js";
import { total } from "./usage.js";

const ENDED = new Set(["complete", "error", "aborted"]);
const ANSWERABLE = new Set(["tool_calls", "cancelled"]); // how a step ends whose whole calls are to be answered
export const TERMINAL = new Set(["response_done", "response_error", "turn_aborted_by_user"]);

/** Has a run with this status ended? */
export const hasEnded = (status) => ENDED.has(status);

/**
 * A run's state; fold events in with `apply`, look at it with `response`.
 *
 * Begun from nothing, or from a snapshot (a Response): the items of a live run's snapshot may still grow.
 */
export class Reducer {
  lastSeq = 0;
  ignored = 0;
  start = null;
  status = "queued";
  finishReason = null;
  error = null;
  steps = [];
  approvals = new Map(); // approval_id -> the approval, with its resolution where it is decided
  #usage;
  #updatedAt = 0;
  #completedAt;
  #items = new Map(); // id -> an item, or the Draft of an open one
  #open = new Set();
  #unanswered = new Map(); // call_id -> item id, in call order

  constructor(snapshot = null) {
    if (snapshot !== null) this.#resume(snapshot);
  }

  #resume(snapshot) {
    this.lastSeq = snapshot.last_seq;
    if (snapshot.last_seq === 0) return;
    const { id, turn_id, thread_id, agent_id, model_id, provider_id, created_at, after_run_id } = snapshot;
    this.start = { response_id: id, turn_id, thread_id, agent_id, model_id, provider_id, created_at, after_run_id };
    this.finishReason = snapshot.finish_reason;
    this.error = snapshot.error ?? null;
    this.steps = [...snapshot.steps];
    this.approvals = new Map((snapshot.approvals ?? []).map((approval) => [approval.approval_id, approval]));
    this.#usage = snapshot.usage;
    this.#updatedAt = snapshot.updated_at;
    this.#completedAt = snapshot.completed_at;
    for (const item of snapshot.output_items) {
      this.#items.set(item.id, item);
      this.#noteCall(item);
    }
    this.status = snapshot.status;
    if (!this.ended) for (const id of this.#items.keys()) this.#open.add(id);
  }

  /** Has the run ended? */
  get ended() {
    return ENDED.has(this.status);
  }

  /** Fold in one event; true where it changed anything. */
  apply(event) {
    if (event.seq <= this.lastSeq) return false;
    this.lastSeq = event.seq;
    const { type } = event.payload;
    const misplaced = (this.start === null) !== (type === "response_start") || this.ended;
    const handler = misplaced ? ignore : HANDLERS[type];
    if (handler && !handler(this, event.payload)) {
      this.ignored += 1;
      return false;
    }
    this.#updatedAt = Math.max(this.#updatedAt, event.timestamp);
    if (this.ended) this.#completedAt = this.#updatedAt;
    return true;
  }

  /** The run as of now. Throws before `response_start`. */
  response() {
    if (this.start === null) throw new Error("no response_start yet");
    const { response_id, ...start } = this.start;
    return {
      id: response_id,
      turn_id: start.turn_id,
      thread_id: start.thread_id,
      ...(start.agent_id ? { agent_id: start.agent_id } : {}),
      model_id: start.model_id,
      provider_id: start.provider_id,
      created_at: start.created_at,
      updated_at: this.#updatedAt,
      ...(this.#completedAt === undefined ? {} : { completed_at: this.#completedAt }),
      status: this.status,
      output_items: this.items(),
      ...(this.#usage ? { usage: this.#usage } : {}),
      steps: [...this.steps],
      finish_reason: this.finishReason,
      ...(this.error === null ? {} : { error: this.error }),
      last_seq: this.lastSeq,
      ...(this.approvals.size ? { approvals: [...this.approvals.values()] } : {}),
      ...(start.after_run_id === undefined ? {} : { after_run_id: start.after_run_id }),
    };
  }

  /** Token counts as far as they are known. */
  get usage() {
    return this.#usage;
  }

  get updatedAt() {
    return this.#updatedAt;
  }

  get completedAt() {
    return this.#completedAt;
  }

  /** The items in their places, open ones as far as they have come. */
  items() {
    return [...this.#items.values()].map(shown);
  }

  /** One item as of now. */
  item(id) {
    return shown(this.#items.get(id));
  }

  /** The ids in use, in order. */
  get itemIds() {
    return [...this.#items.keys()];
  }

  /** May the item still grow? */
  isOpen(id) {
    return this.#open.has(id);
  }

  /** Finished calls without an output, in call order. */
  get unanswered() {
    return [...this.#unanswered.values()].map((id) => this.item(id)).filter((item) => item?.type === "function_call");
  }

  /** The calls whose outputs are the client's to send, in call order. */
  get awaited() {
    const clients = this.steps.at(-1)?.client_tools;
    return this.unanswered.filter((call) => !clients || clients.includes(call.name));
  }

  /** The approvals asked for an item, oldest first; one that is decided has its `resolution`. */
  approvalsOf(itemId) {
    return [...this.approvals.values()].filter((approval) => approval.item_id === itemId);
  }

  get #waits() {
    return this.awaited.length > 0 || [...this.approvals.values()].some((approval) => !approval.resolution);
  }

  // --- what the handlers do ------------------------------------------------------------------------------------

  /** The draft of an open item; undefined where it is not open. */
  draft(id) {
    if (!this.#open.has(id)) return undefined;
    const held = this.#items.get(id);
    if (held instanceof Draft) return held;
    const draft = Draft.reopen(held); // from a snapshot
    this.#items.set(id, draft);
    return draft;
  }

  begin(start) {
    if (this.#items.has(start.item_id)) return false;
    this.#items.set(start.item_id, new Draft(start));
    this.#open.add(start.item_id);
    return true;
  }

  settle(id, item) {
    if (!this.#open.delete(id)) return false;
    this.#items.set(id, item);
    this.#noteCall(item);
    return true;
  }

  stepEnded({ step, provider_id, model_id, provider_response_id, finish_reason, usage }) {
    if (!this.steps.length) return false;
    this.steps[this.steps.length - 1] = present({
      step,
      provider_id,
      model_id,
      provider_response_id,
      finish_reason,
      usage,
      client_tools: this.steps.at(-1).client_tools,
      purpose: this.steps.at(-1).purpose,
    });
    this.#usage = total(this.steps.map((one) => one.usage));
    if (ANSWERABLE.has(finish_reason) && this.awaited.length) this.status = "requires_action";
    return true;
  }

  asked({ type: _type, ...approval }) {
    if (this.approvals.has(approval.approval_id)) return false;
    this.approvals.set(approval.approval_id, approval);
    this.status = "requires_action";
    return true;
  }

  decided({ approval_id, decision, by, reason, content }) {
    const approval = this.approvals.get(approval_id);
    if (!approval || approval.resolution) return false;
    this.approvals.set(approval_id, { ...approval, resolution: present({ decision, by, reason, content }) });
    this.#goOn();
    return true;
  }

  counted(usage) {
    const last = this.steps.length - 1;
    if (last < 0) this.#usage = usage;
    else {
      this.steps[last] = { ...this.steps[last], usage };
      this.#usage = total(this.steps.map((one) => one.usage));
    }
    return true;
  }

  end(status, finishReason, { usage, error } = {}) {
    this.status = status;
    this.finishReason = finishReason;
    this.#usage = usage ?? this.#usage;
    this.error = error ?? this.error;
    return true;
  }

  #noteCall(item) {
    if (item.type === "function_call") this.#unanswered.set(item.call_id, item.id);
    else if (item.type === "function_call_output") {
      this.#unanswered.delete(item.call_id);
      this.#goOn();
    }
  }

  #goOn() {
    if (this.status === "requires_action" && !this.#waits) this.status = "in_progress";
  }
}

const shown = (held) => (held instanceof Draft ? held.item() : held);
const present = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null));
const ignore = () => false;

// One per event type: true where the event fits.
const HANDLERS = {
  response_start(run, { type: _type, ...start }) {
    run.start = start;
    return true;
  },
  step_start(run, { step, provider_id, model_id, client_tools, purpose }) {
    run.status = "in_progress";
    run.steps.push(present({ step, provider_id, model_id, client_tools, purpose }));
    return true;
  },
  step_done: (run, event) => run.stepEnded(event),
  approval_requested: (run, event) => run.asked(event),
  approval_resolved: (run, event) => run.decided(event),
  usage_update: (run, event) => run.counted(event.usage),
  item_start: (run, event) => run.begin(event),
  item_delta(run, event) {
    const draft = run.draft(event.item_id);
    draft?.grow(event);
    return draft !== undefined;
  },
  item_done: (run, event) => run.settle(event.item_id, event.final_item),
  item_error(run, { item_id, error }) {
    const partial = run.draft(item_id)?.item();
    const { code, message, details } = error;
    return run.settle(
      item_id,
      present({ type: "error", id: item_id, code, message, origin: "system", details, partial }),
    );
  },
  item_cancelled(run, { item_id, reason }) {
    const partial = run.draft(item_id)?.item();
    return run.settle(item_id, present({ type: "cancelled", id: item_id, origin: "system", reason, partial }));
  },
  response_done: (run, event) => run.end(event.status, event.finish_reason, event),
  response_error: (run, event) => run.end("error", "error", event),
  turn_aborted_by_user: (run) => run.end("aborted", "cancelled"),
};

/** The Response that these events add up to. Throws where they hold no `response_start`. */
export function fold(events) {
  const run = new Reducer();
  for (const event of events) run.apply(event);
  return run.response();
}
