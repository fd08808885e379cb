// What can be done, by click and by key.

/** The actions of a session; `open` opens a dialog, `list` shows the threads on a narrow screen. */
export function actions(session, { open, list }) {
  const told = (job) =>
    job().catch((error) => {
      if (error.status !== 401) session.toast(error.message, { isError: true }); // for want of a key, one is asked for
      throw error;
    });
  const quiet = (job) => told(job).catch(() => {});
  const { settings, threads } = session;
  return {
    say: (message, how) => told(() => session.send(message, how)),
    steer: (run, text) => told(() => session.steer(run, text)),
    waiting: session.waiting,
    retry: (run) => quiet(() => session.retry(run)),
    resend: (run, id, message) => told(() => session.resend(run, id, message)),
    branch: (run) => session.thread.show(run),
    stop: (run) => quiet(() => session.stop(run)),
    answer: (run, call, output, success) =>
      told(() => session.guarded(() => session.client.outputs(run.id, [{ call_id: call.call_id, output, success }]))),
    decide: (run, approval, ...decision) =>
      told(() => session.guarded(() => session.client.approve(run.id, approval.approval_id, ...decision))),

    change: (threadId, fields) => quiet(() => session.guarded(() => threads.change(threadId, fields))),
    remove(threadId) {
      const title = threads.title(threads.known.get(threadId));
      threads.remove(threadId, (error) => session.toast(error.message, { isError: true }));
      session.toast(`“${title}” is deleted.`, { action: { label: "Undo", run: () => threads.undo(threadId) } });
      if (session.thread.id === threadId) session.visit({});
    },

    create() {
      list(false);
      session.visit({});
      document.getElementById("say")?.focus();
    },
    inspect: (run) => session.visit({ thread: session.thread.id, run: run.id, log: true }),
    closeLog: () => session.visit({ thread: session.thread.id }),
    options: () => open("options"),
    settings: () => open("settings"),
    help: () => open("help"),
    toggleSidebar: () => list((is) => !is),
    leaveSidebar: () => list(false),

    ...byKey(session, settings, threads),
  };
}

/** What keys alone do. */
function byKey(session, settings, threads) {
  const step = (by) => {
    const shown = threads.shown();
    const at = shown.findIndex((thread) => thread.thread_id === session.thread.id);
    const next = shown[at < 0 ? 0 : at + by];
    if (next) session.visit({ thread: next.thread_id });
  };
  return {
    search: () => document.getElementById("search")?.focus(),
    write: () => document.getElementById("say")?.focus(),
    next: () => step(1),
    previous: () => step(-1),
    edit: () => clickLast("[data-edit]"),
    again: () => clickLast("[data-retry]"),
    log() {
      const { thread, route } = session;
      if (route.log) session.visit({ thread: thread.id });
      else if (thread.last) session.visit({ thread: thread.id, run: thread.last.id, log: true });
    },
    theme: () => settings.set("theme", isDark(settings.get("theme")) ? "light" : "dark"),
    escape() {
      if (session.route.log) session.visit({ thread: session.thread.id });
      else if (session.thread.live) clickLast("[data-stop]");
      else document.activeElement?.blur();
    },
  };
}

const clickLast = (selector) => [...document.querySelectorAll(selector)].at(-1)?.click();

const isDark = (theme) =>
  theme === "dark" || (theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
