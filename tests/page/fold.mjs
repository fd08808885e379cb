// Folds logs: each line of stdin is one log (a JSON array of events); each line of stdout is its Response, or null.

import { createInterface } from "node:readline";
import { Reducer } from "../../ui/tailrace.js";

for await (const line of createInterface({ input: process.stdin })) {
  const { events, snapshot } = JSON.parse(line);
  const run = new Reducer(snapshot ?? null);
  for (const event of events) run.apply(event);
  const response = run.start ? run.response() : null;
  process.stdout.write(`${JSON.stringify({ response, ignored: run.ignored })}\n`);
}
