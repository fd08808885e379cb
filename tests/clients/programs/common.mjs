// What every program here shares: where the server is, which model and API are meant, and what to say.
import assert from "node:assert/strict";

export const URL = process.env.TAILRACE_URL;
export const MODEL = process.env.TAILRACE_MODEL;
export const API = process.env.TAILRACE_API;

export const TEXT = "remember the river";
export const TEXT_ANSWER = "I will remember: the river";
export const TOOLS = { "What is the weather?": ["sunny in Paris"], "make parallel calls": ["sunny in Paris", "sunny in Oslo", "sunny in Lima"] };
export const THINK = "think, then remember the river";
export const THOUGHT = "already written";
export const ERROR = "error";
export const LONG = "slow 20 long 2000";
export const SCHEMA = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };

export const weather = ({ city }) => `sunny in ${city}`;

export function has(text, ...parts) {
  for (const part of parts) assert.ok(text?.includes(part), `${JSON.stringify(part)} is not in ${JSON.stringify(text)}`);
}
