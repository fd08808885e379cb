// The list of threads: loaded by pages, kept up to date while somebody looks, changed at once and undone.

import { hasEnded } from "./fold.js";
import { Channel } from "./frame.js";

export const LIST = "list";
const PAGE = 100;
const LIVE = ["queued", "in_progress", "requires_action"];
const UNDO_MS = 6000;

export class Threads extends Channel {
  known = new Map(); // thread_id -> thread
  live = new Map(); // thread_id -> its live run, as it was last seen
  doomed = new Map(); // thread_id -> the timer of its deletion
  names = new Map(); // thread_id -> what an untitled one is called here
  tag = "";
  search = "";
  cursor = null;
  isLoaded = false;
  #naming = new Set();

  constructor(session) {
    super();
    this.session = session;
  }

  get #client() {
    return this.session.client;
  }

  /** What is to be shown: newest first, filtered. */
  shown() {
    const words = this.search.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (thread) => {
      const text = [this.title(thread), thread.summary, thread.thread_id, ...(thread.tags ?? [])]
        .join(" ")
        .toLowerCase();
      return words.every((word) => text.includes(word));
    };
    return [...this.known.values()]
      .filter((thread) => !this.doomed.has(thread.thread_id) && (!this.tag || thread.tags?.includes(this.tag)))
      .filter(matches)
      .sort((one, other) => other.updated_at - one.updated_at);
  }

  /** Every tag there is, in order. */
  tags() {
    return [...new Set([...this.known.values()].flatMap((thread) => thread.tags ?? []))].sort();
  }

  title(thread) {
    return thread.title || this.names.get(thread.thread_id) || "Untitled";
  }

  /** The first page anew, and which threads are live. */
  async refresh() {
    const [page, ...live] = await Promise.all([
      this.#client.threads({ limit: PAGE, tag: this.tag }),
      ...LIVE.map((status) => this.#client.runs({ status, limit: PAGE })),
    ]);
    if (!this.isLoaded) this.cursor = page.next_cursor;
    this.isLoaded = true;
    this.#take(page);
    this.live = new Map(live.flatMap(({ runs }) => runs).map((run) => [run.thread_id, run]));
    this.changed(LIST);
    this.#name();
  }

  /** The next page, if there is one. */
  async more() {
    const { cursor } = this;
    if (!cursor) return;
    this.cursor = null;
    const page = await this.#client.threads({ limit: PAGE, cursor, tag: this.tag });
    this.cursor = page.next_cursor;
    this.#take(page);
    this.changed(LIST);
  }

  /** Show those with this tag only, or all ("": the server is asked, for there may be older ones). */
  async filter(tag) {
    this.tag = tag;
    this.isLoaded = false;
    this.changed(LIST);
    await this.refresh();
  }

  find(words) {
    this.search = words;
    this.changed(LIST);
    if (words) this.more().catch(() => {}); // what was not loaded may match, too
  }

  put(thread) {
    this.known.set(thread.thread_id, thread);
    this.changed(LIST);
  }

  #take(page) {
    for (const thread of page.threads) this.known.set(thread.thread_id, thread);
    if (page.next_cursor === null && !this.tag) this.#forget(page.threads);
  }

  /** The page holds all there is: what it does not hold is gone. */
  #forget(threads) {
    if (this.cursor !== null) return;
    const there = new Set(threads.map((thread) => thread.thread_id));
    for (const id of this.known.keys()) if (!there.has(id)) this.known.delete(id);
  }

  // --- changes -------------------------------------------------------------------------------------------------

  /** Change fields (title, tags, …): shown at once, taken back where the server refuses. */
  async change(threadId, fields) {
    const before = this.known.get(threadId);
    if (before) this.put({ ...before, ...fields });
    try {
      this.put(await this.#client.updateThread(threadId, fields));
    } catch (error) {
      if (before) this.put(before);
      throw error;
    }
  }

  /** Delete when the time to undo it is over. */
  remove(threadId, onError) {
    const timer = setTimeout(() => this.#delete(threadId, { onError }), UNDO_MS);
    this.doomed.set(threadId, timer);
    this.changed(LIST);
  }

  undo(threadId) {
    clearTimeout(this.doomed.get(threadId));
    this.doomed.delete(threadId);
    this.changed(LIST);
  }

  /** The page goes: what was deleted is deleted now. */
  removeNow() {
    for (const threadId of this.doomed.keys()) {
      clearTimeout(this.doomed.get(threadId));
      this.#delete(threadId, { keepalive: true });
    }
  }

  async #delete(threadId, { onError = () => {}, keepalive = false }) {
    try {
      await this.#client.deleteThread(threadId, { keepalive });
      this.known.delete(threadId);
    } catch (error) {
      if (error.status === 404) this.known.delete(threadId);
      else onError(error);
    }
    this.doomed.delete(threadId);
    this.changed(LIST);
  }

  // --- names ---------------------------------------------------------------------------------------------------

  /** Threads made elsewhere have no title: they are called what was last said in them. */
  async #name() {
    const nameless = this.shown().filter(({ title, thread_id }) => !title && !this.#naming.has(thread_id));
    for (const { thread_id } of nameless.slice(0, 20)) {
      this.#naming.add(thread_id);
      const { runs } = await this.#client.runs({ thread_id, limit: 1 }).catch(() => ({ runs: [] }));
      const said = runs[0]?.output_items.find((item) => item.type === "message" && item.origin === "user");
      if (said) this.names.set(thread_id, titleOf(said.content));
      else if (!runs.length || hasEnded(runs[0].status)) this.names.set(thread_id, "Empty thread");
      else this.#naming.delete(thread_id);
    }
    if (nameless.length) this.changed(LIST);
  }
}

/** A title for what begins with this prompt. */
export function titleOf(prompt) {
  const line = prompt.trim().split("\n")[0].trim();
  return line.length > 60 ? `${line.slice(0, 59).trimEnd()}…` : line || "Image";
}
