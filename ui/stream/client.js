// Tailrace's HTTP API (contract §4), as far as a reader of runs needs it. Knows nothing of the page.

import { chunks } from "./chunks.js";
import { ApiError, Unreachable } from "./errors.js";
import { follow } from "./follow.js";

const id = encodeURIComponent;

/**
 * A server by its URL (with a path, where it lives under one), and the key that it wants, if it wants one.
 *
 * Every method throws ApiError for an error that the server told, Unreachable where there was no answer.
 */
export class Client {
  constructor(url, { key = "", fetch = globalThis.fetch } = {}) {
    this.url = new URL(url.endsWith("/") ? url : `${url}/`);
    this.key = key;
    this.fetch = fetch.bind(globalThis);
  }

  /** The Response of a request to `path`, which is relative to the server's URL. */
  async open(path, { method = "GET", body, headers = {}, signal, keepalive } = {}) {
    const sent = { ...headers };
    if (this.key) sent.authorization = `Bearer ${this.key}`;
    if (body !== undefined) sent["content-type"] = "application/json";
    let response;
    try {
      response = await this.fetch(new URL(path, this.url), {
        method,
        headers: sent,
        signal,
        keepalive,
        cache: "no-store",
        body: body === undefined ? body : JSON.stringify(body),
      });
    } catch (error) {
      throw error.name === "AbortError" ? error : new Unreachable(error);
    }
    if (!response.ok) throw await ApiError.of(response);
    return response;
  }

  /** The JSON of an answer; null where it has no body. */
  async call(path, options) {
    const response = await this.open(path, options);
    return response.status === 204 ? null : response.json();
  }

  // --- threads -------------------------------------------------------------------------------------------------

  threads({ tag, limit, cursor, signal } = {}) {
    return this.call(`api/v2/threads${query({ tag, limit, cursor })}`, { signal });
  }

  thread(threadId, options) {
    return this.call(`api/v2/threads/${id(threadId)}`, options);
  }

  createThread(body) {
    return this.call("api/v2/threads", { method: "POST", body });
  }

  updateThread(threadId, body) {
    return this.call(`api/v2/threads/${id(threadId)}`, { method: "PATCH", body });
  }

  deleteThread(threadId, { keepalive } = {}) {
    return this.call(`api/v2/threads/${id(threadId)}`, { method: "DELETE", keepalive });
  }

  // --- runs ----------------------------------------------------------------------------------------------------

  /** Start a run: {prompt or input, thread_id?, model_id?, …} -> {run_id, turn_id, thread_id, stream_url}. */
  submit(body) {
    return this.call("api/v2/submit", { method: "POST", body });
  }

  run(runId, options) {
    return this.call(`api/v2/runs/${id(runId)}`, options);
  }

  runs({ thread_id, status, limit, cursor, signal } = {}) {
    return this.call(`api/v2/runs${query({ thread_id, status, limit, cursor })}`, { signal });
  }

  cancel(runId) {
    return this.call(`api/v2/runs/${id(runId)}/cancel`, { method: "POST" });
  }

  /** Say something to a run while it works; the same `deliveryId` with the same text is the same thing said. */
  say(runId, text, deliveryId) {
    return this.call(`api/v2/runs/${id(runId)}/input`, { method: "POST", body: { text, delivery_id: deliveryId } });
  }

  /** Where something said to a run is: {status: "waiting", "delivered" or "undelivered", seq?}. */
  receipt(runId, deliveryId) {
    return this.call(`api/v2/runs/${id(runId)}/input/${id(deliveryId)}`);
  }

  /** Results of calls that the run waits for: [{call_id, output, success?}]. */
  outputs(runId, outputs) {
    return this.call(`api/v2/runs/${id(runId)}/outputs`, { method: "POST", body: { outputs } });
  }

  /**
   * Decide on a tool call: "approved", "approved_for_run" or "denied", the last with a reason if there is one. What a
   * call asks while it runs is answered with "approved" and what its form holds, "denied" or "cancelled".
   */
  approve(runId, approvalId, decision, reason, content) {
    const body = { decision, ...(reason ? { reason } : {}), ...(content ? { content } : {}) };
    return this.call(`api/v2/runs/${id(runId)}/approvals/${id(approvalId)}`, { method: "POST", body });
  }

  /** The run's events; see `follow`. */
  follow(runId, options) {
    return follow(this, runId, options);
  }

  /** The run's frames in a dialect, from its first event on, as pieces of text. */
  async *frames(runId, dialect, { signal } = {}) {
    const response = await this.open(`api/v2/stream/${id(runId)}${query({ dialect })}`, { signal });
    yield* chunks(response, Number.POSITIVE_INFINITY);
  }

  // --- what there is -------------------------------------------------------------------------------------------

  models(options) {
    return this.call("v1/models", options);
  }

  agents(options) {
    return this.call("api/v2/agents", options);
  }
}

function query(given) {
  const pairs = Object.entries(given).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}
