// What was said and is in no log yet: to a run at work, or as a turn that has not begun. Kept as long as the tab lives.

import { Channel } from "./frame.js";

export const WAITING = "waiting";
const KEY = "tailrace.waiting";

/**
 * Entries {id, thread, run, text}. What is said to a run has the id of its delivery; a turn has that of its run, and
 * `isQueued` where it waits for the one before it.
 */
export class Waiting extends Channel {
  #entries;

  constructor(storage = globalThis.sessionStorage) {
    super();
    this.storage = storage;
    this.#entries = read(storage);
  }

  add(entry) {
    this.#set([...this.#entries, entry]);
  }

  remove(id) {
    this.#set(this.#entries.filter((entry) => entry.id !== id));
  }

  /** The entry of a turn, if there is one. */
  turn(runId) {
    return this.#entries.find((entry) => entry.id === runId);
  }

  /** What was said to the run, and is not in its log: oldest first. */
  saidTo(run) {
    return this.#of(run.id).filter((entry) => run.reducer.item(itemOf(entry)) === undefined);
  }

  /** What a run's log has is here no more; what an ended run never heard is returned. */
  settle(run) {
    const entries = this.#of(run.id);
    const unheard = run.ended ? this.saidTo(run) : [];
    const gone = entries.filter((entry) => unheard.includes(entry) || run.reducer.item(itemOf(entry)) !== undefined);
    if (run.reducer.start !== null && this.turn(run.id)) gone.push(this.turn(run.id));
    if (gone.length) this.#set(this.#entries.filter((entry) => !gone.includes(entry)));
    return unheard;
  }

  #of(runId) {
    return this.#entries.filter((entry) => entry.run === runId && entry.id !== runId);
  }

  #set(entries) {
    this.#entries = entries;
    try {
      this.storage.setItem(KEY, JSON.stringify(entries));
    } catch {
      // Too much for it, or refused: then it holds as long as the page does.
    }
    this.changedNow(WAITING);
  }
}

/** The item by which a run hears what is said to it (docs/agents.md, "Saying something while it works"). */
const itemOf = ({ id }) => `said_${id}`;

function read(storage) {
  try {
    const kept = JSON.parse(storage.getItem(KEY));
    return Array.isArray(kept) ? kept : [];
  } catch {
    return [];
  }
}
