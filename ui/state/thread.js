// The thread that is open: its runs in order, each live one being read.

import { Branches } from "./branches.js";
import { Channel } from "./frame.js";
import { Run, STATUS, WHOLE } from "./run.js";

export const THREAD = "thread";

/** `id` is null for a thread that does not exist yet; `onRun` is told of each run that there is, and that changed. */
export class Thread extends Channel {
  runs = []; // all of them, in the order they were made
  branches = new Branches();
  state = "loading"; // "ready", "missing", "failed"
  error = null;

  constructor(client, id, onRun = () => {}) {
    super();
    this.client = client;
    this.onRun = onRun;
    this.id = id;
    if (id === null) this.state = "ready";
  }

  /** Ask the server for it, and read its live runs; runs that are known stay as they are. */
  async load() {
    if (this.id === null) return;
    try {
      const { runs, history: _all, ...thread } = await this.client.thread(this.id);
      this.meta = thread;
      for (const snapshot of runs) if (!this.find(snapshot.id)) this.#add(new Run(this.client, snapshot.id, snapshot));
      this.#order(runs.map((run) => run.id));
      this.resume();
      this.state = "ready";
      this.error = null;
    } catch (error) {
      this.error = error;
      if (error.status === 404) this.state = "missing";
      else if (this.state === "loading") this.state = "failed";
      this.changed(THREAD);
      throw error;
    }
    this.changed(THREAD);
  }

  /** As the server has them; what was begun since comes last. */
  #order(ids) {
    const place = new Map(ids.map((id, at) => [id, at]));
    const of = (run) => place.get(run.id) ?? ids.length;
    this.runs = this.runs.toSorted((one, other) => of(one) - of(other));
  }

  find(runId) {
    return this.runs.find((run) => run.id === runId);
  }

  /** A run that was just begun here; `after`: see Run. */
  begin(runId, after) {
    if (!this.find(runId)) {
      const run = new Run(this.client, runId);
      run.after = after;
      this.#add(run);
      this.branches.show(this.runs, run);
    }
    this.resume();
    this.changed(THREAD);
  }

  /** Show the branch that this run is on. */
  show(run) {
    this.branches.show(this.runs, run);
    this.changed(THREAD);
  }

  /** The runs that are shown: one branch. */
  get shown() {
    return this.branches.path(this.runs);
  }

  /** What a run must name to go on from the end of what is shown: nothing where that is the newest run. */
  get end() {
    const last = this.last;
    return last === this.runs.at(-1) ? undefined : last.id;
  }

  #add(run) {
    this.runs.push(run);
    this.onRun(run);
    run.on(STATUS, () => {
      this.changed(THREAD);
      if (run.ended) this.resume(); // it may be the next one's turn
    });
    run.on(WHOLE, () => this.onRun(run));
  }

  /** Has the run begun, or is it about to? Browsers have few connections for a server: one that waits takes none. */
  #isAtWork(run) {
    return !run.ended && (run.reducer.status !== "queued" || run === this.live);
  }

  /** The run that holds the thread, if there is one. */
  get live() {
    return this.runs.find((run) => !run.ended && run.connection !== "failed");
  }

  get last() {
    return this.shown.at(-1);
  }

  /** Read what is at work, also what was given up: for want of a key, or while nobody looked. */
  resume() {
    for (const run of this.runs) if (this.#isAtWork(run) && !run.isReading) run.read().then(() => this.changed(THREAD));
  }

  /** Read no more for now. */
  leave() {
    for (const run of this.runs) run.leave();
  }
}
