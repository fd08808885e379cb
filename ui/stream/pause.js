// Waiting that ends early when it is worth trying again: the network is back, or somebody looks at the page.

const FIRST_MS = 300;
const MOST_MS = 8000;

/** How long to wait before the attempt after `failures` in a row: exponential, with full jitter, in milliseconds. */
export function delayAfter(failures, random = Math.random) {
  return random() * Math.min(MOST_MS, FIRST_MS * 2 ** failures) + FIRST_MS / 3;
}

/** Resolves after `ms`, at `online` or when the page is looked at again, or when `signal` aborts. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const { document } = globalThis;
    const done = () => {
      clearTimeout(timer);
      globalThis.removeEventListener?.("online", done);
      document?.removeEventListener("visibilitychange", seen);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const seen = () => document.visibilityState === "visible" && done();
    const timer = setTimeout(done, ms);
    globalThis.addEventListener?.("online", done);
    document?.addEventListener("visibilitychange", seen);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}
