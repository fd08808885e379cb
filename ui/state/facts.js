// What a run's log says beyond its Response: when items grew, what was tried again, who took over.

/** A second fold over the same events; as tolerant as the first. Times are the log's, milliseconds since the epoch. */
export class Facts {
  lastSeq = 0;
  began = null;
  items = new Map(); // item_id -> {began, ended?, deltas}
  scripts = new Map(); // item_id -> {state: "running" | "done" | "failed"}
  marks = []; // {seq, timestamp, kind: "takeover" | "retry" | "failed" | "limit" | "irregular", text}

  apply(event) {
    if (event.seq <= this.lastSeq) return;
    this.lastSeq = event.seq;
    this.began ??= event.timestamp;
    HANDLERS[event.type]?.(this, event.payload, event);
  }

  mark({ seq, timestamp }, kind, text) {
    this.marks.push({ seq, timestamp, kind, text });
  }

  /** How long the item took, or has taken so far at `now`; null where that is not known. */
  duration(itemId, now) {
    const times = this.items.get(itemId);
    return times ? (times.ended ?? now) - times.began : null;
  }
}

function ended(facts, { item_id }, { timestamp }) {
  const times = facts.items.get(item_id);
  if (times) times.ended = timestamp;
}

const script =
  (state) =>
  (facts, { item_id }) =>
    facts.scripts.set(item_id, { state });

const HANDLERS = {
  item_start: (facts, { item_id }, { timestamp }) => facts.items.set(item_id, { began: timestamp, deltas: 0 }),
  item_delta(facts, { item_id }) {
    const times = facts.items.get(item_id);
    if (times) times.deltas += 1;
  },
  item_done: ended,
  item_error: ended,
  item_cancelled: ended,
  script_execution_start: script("running"),
  script_execution_done: script("done"),
  script_execution_error: script("failed"),
  step_done(facts, { step, finish_reason }, event) {
    if (finish_reason === "error") facts.mark(event, "failed", `step ${step} ended in an error`);
  },
  provider_event(facts, { provider_id, name, data }, event) {
    const own = provider_id === "tailrace" ? OWN[name] : undefined;
    const [kind, told] = own ?? MARKS.find(([start]) => name.startsWith(start))?.slice(1) ?? [];
    if (kind) facts.mark(event, kind, told(data, name));
  },
};

// What a server says of its own work, by the event's name -> kind, and how it is told.
const OWN = {
  takeover: ["takeover", (data) => `taken over, epoch ${data?.epoch ?? "?"}`],
  retry: ["retry", (data) => `asked again after try ${data?.tries ?? "?"}: ${reasonOf(data?.error)}`],
  limit: ["limit", (data) => `the run's limit of ${data?.limit ?? "?"} was reached`],
};

// Beginning of any provider event's name -> kind, and how it is told.
const MARKS = [
  ["STREAM_SEQUENCE_ERROR", "irregular", (_data, name) => name.slice(name.indexOf(":") + 1)],
  ["unreadable", "irregular", () => "an event that could not be read"],
];

const MOST = 160; // characters of a provider's words in a mark

const reasonOf = (error) => `${error?.code ?? "error"}: ${error?.message ?? ""}`.slice(0, MOST);
