// What the page does: the server it talks to, the thread that is open, what is begun and called off.

import { Client } from "../stream/client.js";
import { Unreachable } from "../stream/errors.js";
import { pause } from "../stream/pause.js";
import { Drafts } from "./drafts.js";
import { Channel } from "./frame.js";
import { newId } from "./ids.js";
import { format, parse } from "./route.js";
import { Thread } from "./thread.js";
import { Threads, titleOf } from "./threads.js";
import { Waiting } from "./waiting.js";

export const SESSION = "session";
export const TOASTS = "toasts";
const LOOK_MS = 4000; // between looks at the list, while somebody looks at the page
const UNSEEN_MS = 60_000;
const TRIES = 4; // of what is sent until it is answered
const IN_BETWEEN = new Set([502, 503, 504]); // how a proxy says that the server behind it cannot be reached
const TOAST_MS = 6000;

/** `home` is the URL that the page came from; `settings` what the browser remembers. */
export class Session extends Channel {
  needsKey = false;
  isAway = false; // the server cannot be reached
  models = [];
  agents = [];
  toasts = [];
  route = parse("");
  #unseen = 0; // the timer of letting go

  constructor(home, settings) {
    super();
    this.home = home;
    this.settings = settings;
    this.tabs = new BroadcastChannel("tailrace");
    this.tabs.onmessage = ({ data }) => this.#heard(data);
    this.threads = new Threads(this);
    this.drafts = new Drafts();
    this.waiting = new Waiting();
    this.connect();
  }

  /** Talk to the server that the settings name, with the key that they hold. */
  connect() {
    this.client = new Client(this.settings.get("url") || this.home, { key: this.settings.get("key") });
    this.thread?.leave();
    this.thread = this.#threadFrom(null);
    this.threads.known.clear();
    this.threads.isLoaded = false;
  }

  async start() {
    addEventListener("hashchange", () => this.go(location.hash));
    addEventListener("pagehide", () => this.threads.removeNow());
    document.addEventListener("visibilitychange", () => this.#seen(document.visibilityState === "visible"));
    await this.go(location.hash);
    this.#choices();
    for (;;) {
      if (document.visibilityState === "visible") await this.look();
      await pause(LOOK_MS);
    }
  }

  /** A page that nobody looks at lets go of its stream after a while: browsers have few connections for a server. */
  #seen(isVisible) {
    clearTimeout(this.#unseen);
    if (!isVisible) {
      this.#unseen = setTimeout(() => this.thread.leave(), UNSEEN_MS);
      return;
    }
    this.thread.resume();
    this.look();
  }

  /** See what is new. Nothing is asked while a key is wanted. */
  async look() {
    if (this.needsKey) return;
    await this.quietly(async () => {
      await this.threads.refresh();
      const live = this.threads.live.get(this.thread.id);
      if (live && !this.thread.find(live.id)) await this.thread.load();
      if (this.thread.state === "failed") await this.thread.load();
    });
  }

  /** Models and agents to choose from. */
  #choices() {
    if (this.needsKey) return undefined;
    return this.quietly(async () => {
      const [models, agents] = await Promise.all([this.client.models(), this.client.agents()]);
      this.models = models.data.map((model) => model.id);
      this.agents = agents.agents;
      this.changed(SESSION);
    });
  }

  /** The key that was asked for, or another server. Throws where it does not answer as it should. */
  async reconnect({ url, key }) {
    const client = new Client(url || this.home, { key });
    await client.threads({ limit: 1 });
    const moved = client.url.href !== this.client.url.href;
    this.settings.set("url", url);
    this.settings.set("key", key);
    this.needsKey = false;
    if (moved) {
      this.connect();
      location.hash = "#/";
    } else this.client.key = key;
    this.thread.resume();
    this.changed(SESSION);
    await Promise.all([this.go(location.hash, { again: true }), this.#choices(), this.look()]);
  }

  // --- where one is --------------------------------------------------------------------------------------------

  /** Follow an address. What is typed next goes to where it leads: that is told at once. */
  async go(hash, { again = false } = {}) {
    const route = parse(hash);
    if (route.run && !route.thread) {
      route.thread = await this.#threadOf(route.run);
      if (hash !== location.hash) return; // one has gone on meanwhile
    }
    this.route = route;
    this.changedNow(SESSION);
    if (route.thread !== this.thread.id) this.#open(this.#threadFrom(route.thread));
    else if (!again || this.thread.state === "ready") return this.#show(route);
    await this.quietly(() => this.thread.load());
    this.#show(route);
  }

  /** The run that an address names may be on a branch that is not shown. */
  #show(route) {
    const run = route === this.route && this.thread.find(route.run);
    if (run && !this.thread.shown.includes(run)) this.thread.show(run);
  }

  visit(route) {
    const hash = format(route);
    if (hash !== location.hash) location.hash = hash; // its event comes later, and finds us there
    return this.go(hash);
  }

  #open(thread) {
    this.thread.leave();
    this.thread = thread;
    this.changedNow(SESSION);
  }

  #threadFrom(threadId) {
    return new Thread(this.client, threadId, (run) => this.#settle(run));
  }

  async #threadOf(runId) {
    const run = await this.quietly(() => this.client.run(runId));
    return run?.thread_id ?? null;
  }

  // --- what is done --------------------------------------------------------------------------------------------

  /** Say what stands in the open thread's draft; with `whenBusy` "enqueue", as a turn that waits for the run at work. */
  async send(message, { whenBusy } = {}) {
    const { id } = this.thread;
    await this.say([message], { whenBusy });
    this.drafts.clear(id);
  }

  /** Say what stands in the open thread's draft to a run at work: its model hears it after the step at hand. */
  async steer(run, text) {
    const { id: thread } = this.thread;
    const id = newId("said");
    await this.guarded(() => surely(() => this.client.say(run.id, text, id)));
    this.drafts.clear(thread);
    this.waiting.add({ id, thread, run: run.id, text });
    this.#settle(run); // it may have heard it, or ended, by now
  }

  /** What was said to a run that ended without hearing it goes back to where it was written. */
  #settle(run) {
    const unheard = this.waiting.settle(run);
    if (!unheard.length) return;
    const [{ thread }] = unheard;
    const texts = [...unheard.map(({ text }) => text), this.drafts.of(thread).text];
    this.drafts.change(thread, { text: texts.filter(Boolean).join("\n\n") });
    this.toast("The run ended before it heard what you said. It is back in the message field.");
  }

  /**
   * Say something: `input` is a list of messages. In the open thread, behind what is shown of it, or behind the run
   * `after` (null: at its beginning). Throws what the server said against it.
   */
  async say(input, { whenBusy, after = this.thread.end } = {}) {
    const from = this.thread;
    const { id: threadId } = from;
    const body = {
      input,
      run_id: newId("run"),
      ...this.#asked(),
      ...(threadId ? { thread_id: threadId } : {}),
      ...(whenBusy ? { when_busy: whenBusy } : {}),
      ...(after === undefined ? {} : { after_run_id: after }),
    };
    const isQueued = from.live !== undefined;
    const begun = await this.guarded(() => surely(() => this.client.submit(body)));
    const text = textOf(input.at(-1));
    this.waiting.add({ id: begun.run_id, thread: begun.thread_id, run: begun.run_id, text, isQueued });
    if (!threadId) this.#named(begun.thread_id, titleOf(text));
    if (this.thread === from) this.#follow(begun, after); // else one has gone on meanwhile
    this.tabs.postMessage({ thread: begun.thread_id });
    this.look();
    return begun;
  }

  /** Look at what was begun. */
  #follow({ thread_id, run_id }, after) {
    if (this.thread.id !== thread_id) {
      const thread = this.#threadFrom(thread_id);
      thread.state = "ready"; // it holds this one run
      this.#open(thread);
    }
    this.thread.begin(run_id, after);
    this.visit({ thread: thread_id });
  }

  /** Model, agent and options, as they are chosen now. */
  #asked() {
    const [model, agent] = [this.settings.get("model"), this.settings.get("agent")];
    const { tools, ...options } = this.settings.get("options");
    return {
      ...(model ? { model_id: model } : {}),
      ...(agent ? { agent_id: agent } : {}),
      ...options,
      ...(tools?.length ? { tools } : {}),
    };
  }

  #named(threadId, title) {
    this.threads.names.set(threadId, title);
    this.quietly(() => this.threads.change(threadId, { title }));
  }

  /** The same question again, from where it was asked: both answers stay, as branches. */
  retry(run) {
    return this.#again(run, said(asked(run)));
  }

  /** The same question in other words, from where it was asked: `message` in place of the item `id`. */
  resend(run, id, message) {
    const items = asked(run).map((item) => (item.id === id ? { ...item, parts: undefined, ...message } : item));
    return this.#again(run, said(items));
  }

  #again(run, input) {
    const before = this.thread.branches.parent(this.thread.runs, run);
    return this.say(input, { after: before?.id ?? null });
  }

  async stop(run) {
    await this.guarded(() => this.client.cancel(run.id));
    run.read(); // one that had not begun was not being read
  }

  /** Something is said against it, unless it works. Throws no more than `job` does. */
  async guarded(job) {
    try {
      return await job();
    } catch (error) {
      this.#failed(error);
      throw error;
    }
  }

  /** Do what nobody waits for: what goes wrong is shown where it matters (no key, no server), not thrown. */
  async quietly(job) {
    try {
      const done = await job();
      if (this.isAway) {
        this.isAway = false;
        this.changed(SESSION);
      }
      return done;
    } catch (error) {
      this.#failed(error);
      return undefined;
    }
  }

  #failed(error) {
    if (error.status === 401) this.needsKey = true;
    this.isAway = error instanceof Unreachable || IN_BETWEEN.has(error.status);
    this.changed(SESSION);
  }

  // --- what is told --------------------------------------------------------------------------------------------

  /** A line at the foot of the page, for a while; `action` {label, run} may be taken meanwhile. */
  toast(text, { action = null, isError = false } = {}) {
    const toast = { id: newId("toast"), text, action, isError };
    this.toasts = [...this.toasts, toast].slice(-4);
    setTimeout(() => this.dismiss(toast.id), TOAST_MS);
    this.changed(TOASTS);
  }

  dismiss(id) {
    this.toasts = this.toasts.filter((toast) => toast.id !== id);
    this.changed(TOASTS);
  }

  /** Another tab of this browser began something. */
  #heard({ thread }) {
    if (thread === this.thread.id) this.quietly(() => this.thread.load());
    this.look();
  }
}

/** Do what has the same effect however often it is sent (its id is chosen here) until it is answered. */
async function surely(job) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await job();
    } catch (error) {
      if (!(error instanceof Unreachable) || tries === TRIES) throw error;
      await pause(500 * tries);
    }
  }
}

/** All visible text of a message. */
export function textOf({ content, parts }) {
  return content ?? (parts ?? []).map((part) => part.text ?? "").join("");
}

/** What a run was asked: the messages before the first item of the agent's. */
export function asked(run) {
  const items = run.reducer.items();
  const first = items.findIndex((item) => item.type !== "message" || item.origin === "agent");
  return first < 0 ? items : items.slice(0, first);
}

/** The messages among these items, as they are sent. */
function said(items) {
  const messages = items.filter((item) => item.type === "message" && (item.content?.trim() || item.parts));
  return messages.map(({ origin, content = "", parts }) => ({
    origin,
    ...(parts?.some((part) => part.type === "image" || part.type === "file") ? { parts } : { content }),
  }));
}
