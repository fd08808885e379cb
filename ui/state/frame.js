// Once per frame: however many events come in between, the screen is brought up to date with all of them at once.

const HIDDEN_MS = 500; // there are no frames where nobody looks

const due = new Set();
let isAsked = false;

/** Run `job` in the next frame; asked for several times before it, it runs once. */
export function inNextFrame(job) {
  due.add(job);
  if (isAsked) return;
  isAsked = true;
  if (globalThis.document?.visibilityState === "visible") requestAnimationFrame(flush);
  else setTimeout(flush, HIDDEN_MS);
}

function flush() {
  isAsked = false;
  const jobs = [...due];
  due.clear();
  for (const job of jobs) job();
}

/** What can be listened to; `changed` tells the listeners in the next frame. Topics are told apart by their key. */
export class Channel {
  #listeners = new Map(); // topic -> functions
  #changed = new Set();

  /** Call `listener` after changes of `topic`; returns how to stop that. */
  on(topic, listener) {
    const known = this.#listeners.get(topic) ?? new Set();
    this.#listeners.set(topic, known.add(listener));
    return () => {
      known.delete(listener);
      if (!known.size && this.#listeners.get(topic) === known) this.#listeners.delete(topic);
    };
  }

  /** These topics changed. */
  changed(...topics) {
    for (const topic of topics) this.#changed.add(topic);
    inNextFrame(this.#tell);
  }

  /** These topics changed, and are told at once: for what must not lag behind the hand, such as where one is. */
  changedNow(...topics) {
    for (const topic of topics) this.#changed.add(topic);
    this.#tell();
  }

  /** Everything changed. */
  allChanged() {
    this.changed(...this.#listeners.keys());
  }

  #tell = () => {
    const topics = [...this.#changed];
    this.#changed.clear();
    for (const topic of topics) for (const listener of [...(this.#listeners.get(topic) ?? [])]) listener();
  };
}
