// What a run's log says beyond its Response: when items grew, what waits for a person, who took over.

/** A second fold over the same events; as tolerant as the first. Times are the log's, milliseconds since the epoch. */
export class Facts {
  lastSeq = 0;
  began = null;
  items = new Map(); // item_id -> {began, ended?, deltas}
  approvals = new Map(); // approval_id -> the request, then with decision and by
  scripts = new Map(); // item_id -> {state: "running" | "done" | "failed"}
  marks = []; // {seq, timestamp, kind: "takeover" | "irregular", text}

  apply(event) {
    if (event.seq <= this.lastSeq) return;
    this.lastSeq = event.seq;
    this.began ??= event.timestamp;
    HANDLERS[event.type]?.(this, event.payload, event);
  }

  /** The approvals asked for an item, oldest first. */
  approvalsOf(itemId) {
    return [...this.approvals.values()].filter((approval) => approval.item_id === itemId);
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
  approval_requested: (facts, { type: _type, ...asked }) => facts.approvals.set(asked.approval_id, asked),
  approval_resolved(facts, { approval_id, decision, by }) {
    const asked = facts.approvals.get(approval_id);
    if (asked) facts.approvals.set(approval_id, { ...asked, decision, by });
  },
  provider_event(facts, { name, data }, { seq, timestamp }) {
    const known = MARKS.find(([start]) => name.startsWith(start));
    if (known) facts.marks.push({ seq, timestamp, kind: known[1], text: known[2](data, name) });
  },
};

// Beginning of a provider event's name -> kind, and how it is told.
const MARKS = [
  ["takeover", "takeover", (data) => `taken over, epoch ${data?.epoch ?? "?"}`],
  ["STREAM_SEQUENCE_ERROR", "irregular", (_data, name) => name.slice(name.indexOf(":") + 1)],
  ["unreadable", "irregular", () => "an event that could not be read"],
];
