// Where one is, as the address says it: behind the `#`, so that it works under any path and needs no server.

/**
 * `#/threads/T`, `#/threads/T/runs/R`, `#/threads/T/runs/R/items/I`, and with `/log` behind a run its inspector;
 * `#/runs/R` and what follows it where the thread is not known. Anything else is a new thread.
 */
export function parse(hash) {
  const parts = hash
    .replace(/^#?\/?/, "")
    .split("/")
    .map(decoded);
  const route = { thread: null, run: null, item: null, log: false };
  for (let at = 0; at < parts.length; at += 1) {
    if (parts[at] === "threads") route.thread = parts[++at] || null;
    else if (parts[at] === "runs") route.run = parts[++at] || null;
    else if (parts[at] === "items") route.item = parts[++at] || null;
    else if (parts[at] === "log") route.log = true;
  }
  return route;
}

/** The address of a route. */
export function format({ thread, run, item, log }) {
  const parts = ["#"];
  if (thread) parts.push("threads", thread);
  if (run) parts.push("runs", run);
  if (item) parts.push("items", item);
  if (log && run) parts.push("log");
  return parts.length > 1 ? parts.map((part) => (part === "#" ? part : encodeURIComponent(part))).join("/") : "#/";
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
