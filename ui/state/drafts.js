// What is written and not sent, of each thread: text as long as the tab lives, images as long as the page does.

import { Channel } from "./frame.js";

export const DRAFT = "draft";
const NOTHING = { text: "", images: [] };

/** `threadId` is null for a thread that does not exist yet. Changes are told at once: what is typed shows as it is typed. */
export class Drafts extends Channel {
  #held = new Map(); // thread id -> {text, images}

  constructor(storage = globalThis.sessionStorage) {
    super();
    this.storage = storage;
  }

  /** {text, images}. */
  of(threadId) {
    return this.#held.get(threadId) ?? { ...NOTHING, text: this.#kept(threadId) };
  }

  change(threadId, fields) {
    const draft = { ...this.of(threadId), ...fields };
    this.#held.set(threadId, draft);
    this.#keep(threadId, draft.text);
    this.changedNow(DRAFT);
  }

  clear(threadId) {
    this.change(threadId, NOTHING);
  }

  #kept(threadId) {
    try {
      return this.storage.getItem(key(threadId)) ?? "";
    } catch {
      return "";
    }
  }

  #keep(threadId, text) {
    try {
      if (text) this.storage.setItem(key(threadId), text);
      else this.storage.removeItem(key(threadId));
    } catch {
      // Too long for it, or refused: then it holds as long as the page does.
    }
  }
}

const key = (threadId) => `tailrace.draft.${threadId ?? "new"}`;
