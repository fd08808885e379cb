// One run as the page holds it: its fold, what else its log says, and the connection that it grows by.

import { ApiError } from "../stream/errors.js";
import { Facts } from "./facts.js";
import { Reducer } from "./fold.js";
import { Channel } from "./frame.js";

/** The topic of everything about a run but the inside of its items: status, list of items, connection, usage. */
export const WHOLE = "run";
/** The topic of the run's status alone. */
export const STATUS = "status";
/** The topic of the run's events, for who shows them all. */
export const EVENTS = "events";

/**
 * Shown from a snapshot at once, where there is one; a live run's log is then read from its beginning, because a
 * snapshot does not say when its items grew, and takes the snapshot's place when it has come as far.
 */
export class Run extends Channel {
  events = [];
  connection = "idle"; // "live", "waiting" (to connect again), "ended", "failed"
  error = null;
  after = undefined; // the run of its thread that it goes on from: null for none, undefined for the one made before it
  isReplay = false; // fed from a log that is over, not by a connection
  #whole = null; // the promise of the whole log
  #aborter = null;

  constructor(client, id, snapshot = null) {
    super();
    this.client = client;
    this.id = id;
    this.after = snapshot?.after_run_id;
    this.reducer = new Reducer(snapshot);
    this.facts = new Facts();
    this.building = snapshot ? new Reducer() : this.reducer;
  }

  get ended() {
    return this.reducer.ended;
  }

  get isReading() {
    return this.#aborter !== null;
  }

  /** Fold in events as they come; what they changed is told in the next frame. */
  take(events) {
    const topics = new Set([EVENTS]);
    const { status } = this.reducer;
    for (const event of events) {
      if (event.seq <= this.facts.lastSeq) continue; // told again
      this.events.push(event);
      this.facts.apply(event);
      this.building.apply(event);
      topics.add(event.type === "approval_resolved" ? this.#asked(event.payload) : (event.payload.item_id ?? WHOLE));
      if (event.type !== "item_delta") topics.add(WHOLE);
    }
    if (this.building !== this.reducer && this.building.lastSeq < this.reducer.lastSeq) this.changed(EVENTS);
    else if (this.building !== this.reducer || this.reducer.status !== status) {
      this.reducer = this.building;
      this.allChanged();
    } else this.changed(...topics);
  }

  /** The item that an approval is about. */
  #asked({ approval_id }) {
    return this.building.approvals.get(approval_id)?.item_id ?? WHOLE;
  }

  /** Read the log to its end; resolves when that has come, or never will. Asked for again, it is the same reading. */
  read() {
    this.#whole ??= this.#read();
    return this.#whole;
  }

  async #read() {
    const aborter = new AbortController();
    const { signal } = aborter;
    this.#aborter = aborter;
    try {
      const options = { after: this.facts.lastSeq, signal, onStatus: (status, error) => this.#status(status, error) };
      for await (const events of this.client.follow(this.id, options)) this.take(events);
      if (!signal.aborted) this.#status("ended");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#status("failed", error);
    } finally {
      if (this.#aborter === aborter) {
        this.#aborter = null;
        if (this.connection !== "ended") this.#whole = null; // it may be asked for again
      }
    }
  }

  #status(status, error = null) {
    if (status === this.connection && error === null) return;
    this.connection = status;
    this.error = status === "live" || status === "ended" ? null : (error ?? this.error);
    this.changed(WHOLE, EVENTS);
  }

  /** Stop reading; `read` goes on at the next event. */
  leave() {
    this.#aborter?.abort();
    this.#aborter = null;
    this.#whole = null;
    this.connection = this.ended ? "ended" : "idle";
  }
}
