// The stream reader against a server that does everything wrong: real sockets, real HTTP.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, beforeEach, test } from "node:test";
import { ApiError, Client, SseParser, Unreachable } from "../../ui/tailrace.js";

const event = (seq, type = "item_delta") => ({
  seq,
  timestamp: seq,
  run_id: "r",
  type,
  payload: { type, item_id: "i" },
});
const frame = (one) => `id: ${one.seq}\nevent: ${one.type}\ndata: ${JSON.stringify(one)}\n\n`;
const LAST = event(5, "response_done");

let server;
let client;
let answers = []; // a function per connection: (request, response) => …
let asked = [];

before(async () => {
  server = createServer((request, response) => {
    asked.push({ url: request.url, after: request.headers["last-event-id"], key: request.headers.authorization });
    answers.shift()(request, response);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
});
after(() => server.close());
beforeEach(() => {
  answers = [];
  asked = [];
  client = new Client(`http://127.0.0.1:${server.address().port}/under/a/path`, { key: "k1" });
});

const streaming =
  (...pieces) =>
  async (_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const piece of pieces) {
      if (piece === "cut") return response.destroy();
      if (piece === "silence") return undefined;
      await new Promise((written) => response.write(piece, written));
    }
    return response.end();
  };
const saying =
  (status, body, headers = {}) =>
  (_request, response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  };

async function read(options) {
  const seqs = [];
  for await (const events of client.follow("r", options)) seqs.push(...events.map(({ seq }) => seq));
  return seqs;
}

test("what breaks is read on behind the last event, once each", async () => {
  const [one, two, three, four] = [1, 2, 3, 4].map((seq) => frame(event(seq)));
  answers = [
    streaming(": hello\nretry: 1000\n\n", one, two.slice(0, 20), "cut"),
    streaming(one, two, three.slice(0, -1)), // told again, and closed within an event
    saying(503, { error: { code: "not_ready", message: "wait" } }, { "retry-after": "0.1" }),
    streaming(three, four, frame(LAST)),
  ];
  const statuses = [];
  assert.deepEqual(await read({ onStatus: (status) => statuses.push(status) }), [1, 2, 3, 4, 5]);
  assert.deepEqual(
    asked.map((request) => request.after),
    [undefined, "1", "2", "2"],
  );
  assert.ok(asked.every(({ url, key }) => url === "/under/a/path/api/v2/stream/r" && key === "Bearer k1"));
  assert.ok(statuses.includes("waiting") && statuses.includes("live"));
});

test("a server that says nothing any more is left", async () => {
  answers = [streaming(frame(event(1)), "silence"), streaming(frame(LAST))];
  assert.deepEqual(await read({ idleMs: 300 }), [1, 5]);
});

test("a cursor past the end ends at once; before it, it is asked again", async () => {
  answers = [
    streaming(),
    saying(200, { status: "in_progress", last_seq: 4 }),
    streaming(),
    saying(200, { status: "complete", last_seq: 5 }),
  ];
  assert.deepEqual(await read({ after: 5 }), []);
  assert.equal(asked.length, 4);
});

for (const [status, code] of [
  [401, "unauthorized"],
  [404, "not_found"],
  [410, "expired"],
]) {
  test(`${status} is told, and not tried again`, async () => {
    answers = [saying(status, { error: { code, message: "no", details: { run_id: "r" } } })];
    await assert.rejects(
      read(),
      (error) => error instanceof ApiError && error.code === code && error.status === status,
    );
    assert.equal(asked.length, 1);
  });
}

test("who stops reading is let go", async () => {
  const aborter = new AbortController();
  answers = [streaming(frame(event(1)), "silence")];
  const seqs = [];
  for await (const events of client.follow("r", { signal: aborter.signal })) {
    seqs.push(...events.map(({ seq }) => seq));
    aborter.abort();
  }
  assert.deepEqual(seqs, [1]);
});

test("nobody there is Unreachable; an error that is no JSON keeps its status", async () => {
  const nobody = new Client("http://127.0.0.1:1/");
  await assert.rejects(nobody.run("r"), Unreachable);
  answers = [(_request, response) => response.writeHead(502, { "content-type": "text/html" }).end("<h1>Bad gateway")];
  await assert.rejects(client.run("r"), (error) => error.status === 502 && error.retryable);
});

test("frames come out the same however they are cut", () => {
  const text =
    "\uFEFF: hi\r\nid: 1\r\nevent: a\rdata: x\ndata:  y\n\ndata\n\nid: 2\0\nretry: 5\nretry: x\nother: z\ndata: ü🙂\r\n\r\nid: 9\ndata: half";
  const expected = [
    { id: "1", type: "a", data: "x\n y" },
    { id: "1", type: "message", data: "" },
    { id: "1", type: "message", data: "ü🙂" },
  ];
  for (let size = 1; size <= text.length; size += 1) {
    const parser = new SseParser();
    const events = [];
    for (let at = 0; at < text.length; at += size) events.push(...parser.feed(text.slice(at, at + size)));
    assert.deepEqual(events, expected, `in pieces of ${size}`);
    assert.equal(parser.retryMs, 5);
  }
});
