// Reading a run to its end, over as many connections as it takes (docs/protocol.md, "Reading a run").

import { chunks } from "./chunks.js";
import { ApiError } from "./errors.js";
import { delayAfter, pause } from "./pause.js";
import { SseParser } from "./sse.js";

const TERMINAL = new Set(["response_done", "response_error", "turn_aborted_by_user"]);
const ENDED = new Set(["complete", "error", "aborted"]);
const IDLE_MS = 25_000; // the server says something every ten seconds

/**
 * A run's events behind `after`, in arrays as they come, each event once, until the terminal one.
 *
 * Whatever breaks is connected again behind the last event seen. `onStatus` is told "live" and "waiting" (with the
 * error) as that goes. Throws ApiError where another try is of no use: no such run (404), its events no longer kept
 * (410), no key (401).
 */
export async function* follow(client, runId, { after = 0, signal, onStatus = () => {}, idleMs = IDLE_MS } = {}) {
  const cursor = { seq: after, ended: false, waitMs: 0 };
  const options = { signal, onStatus, idleMs };
  for (let failures = 0; !cursor.ended && !signal?.aborted; ) {
    const before = cursor.seq;
    yield* attempt(client, runId, cursor, options);
    if (cursor.ended || signal?.aborted) return;
    failures = cursor.seq > before ? 0 : failures + 1;
    onStatus("waiting");
    await pause(Math.max(cursor.waitMs, delayAfter(failures)), signal);
  }
}

/** One connection, to its end or until it breaks. Throws where another one is of no use. */
async function* attempt(client, runId, cursor, options) {
  const before = cursor.seq;
  cursor.waitMs = 0;
  try {
    yield* connection(client, runId, cursor, options);
    if (cursor.seq === before && !cursor.ended) cursor.ended = await isPast(client, runId, cursor.seq, options.signal);
  } catch (error) {
    if (options.signal?.aborted) return;
    if (error instanceof ApiError && !error.retryable) throw error;
    cursor.waitMs = error.retryAfterMs ?? 0;
    options.onStatus("waiting", error);
  }
}

async function* connection(client, runId, cursor, { signal, idleMs, onStatus }) {
  const headers = { accept: "text/event-stream", ...(cursor.seq ? { "last-event-id": String(cursor.seq) } : {}) };
  const response = await client.open(`api/v2/stream/${encodeURIComponent(runId)}`, { headers, signal });
  onStatus("live");
  const parser = new SseParser();
  for await (const text of chunks(response, idleMs)) {
    const events = parser.feed(text).flatMap((frame) => taken(frame, cursor));
    if (events.length) yield events;
  } // behind the terminal event the server closes
}

/** The frame's event in an array, or nothing where it has been seen. */
function taken(frame, cursor) {
  const event = JSON.parse(frame.data);
  if (event.seq <= cursor.seq) return [];
  cursor.seq = event.seq;
  cursor.ended = TERMINAL.has(event.type);
  return [event];
}

/** A stream closed without a word: has the run ended at, or before, the cursor? */
async function isPast(client, runId, seq, signal) {
  const run = await client.run(runId, { signal });
  return ENDED.has(run.status) && run.last_seq <= seq;
}
