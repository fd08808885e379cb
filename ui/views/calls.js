// What a tool call is about, as far as its arguments tell.

import { pretty } from "./card.js";
import { changes, isPatch } from "./diff.js";

const MOST_PARSED = 200_000;

/** What a JSON text says; undefined where it is none, or too long to look. */
export function parsed(text) {
  if (!text || text.length > MOST_PARSED) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a call is about: a command, a patch, or arguments like any other. */
export function readCall({ arguments: text }) {
  const value = parsed(text);
  const fields = typeof value === "object" && value !== null ? value : {};
  const command = fields.command ?? fields.cmd;
  if (command) return { kind: "command", text: Array.isArray(command) ? command.join(" ") : String(command) };
  const patch = [text, ...Object.values(fields)].find(
    (one) => typeof one === "string" && isPatch(one) && !one.startsWith("{"),
  );
  if (patch) return { kind: "patch", text: patch };
  return { kind: "plain", text: value === undefined ? text : pretty(value), value };
}

const SHORT = 90;

/** A call in a few words: the command, the size of the patch, the first argument. */
export function detailOf(call) {
  if (call.kind === "command") return call.text.split("\n")[0].slice(0, SHORT);
  if (call.kind === "patch") {
    const { added, removed } = changes(call.text);
    return `+${added} −${removed}`;
  }
  const first = Object.values(call.value ?? {}).find((value) => ["string", "number"].includes(typeof value));
  return String(first ?? "").slice(0, SHORT);
}
