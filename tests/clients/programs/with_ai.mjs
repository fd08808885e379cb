// The AI SDK: `ai` with @ai-sdk/openai, @ai-sdk/openai-compatible and @ai-sdk/anthropic.
import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { API, ERROR, LONG, MODEL, SCHEMA, TEXT, TEXT_ANSWER, THINK, THOUGHT, TOOLS, URL, has, weather } from "./common.mjs";

const settings = { baseURL: `${URL}/v1`, apiKey: "k" };
const models = {
  chat: () => createOpenAI(settings).chat(MODEL),
  compatible: () => createOpenAICompatible({ ...settings, name: "tailrace", includeUsage: true })(MODEL),
  responses: () => createOpenAI(settings).responses(MODEL),
  messages: () => createAnthropic(settings)(MODEL),
};
const model = models[API]();
const asked = { model, maxRetries: 0 };
const tools = { weather: tool({ description: "The weather.", inputSchema: jsonSchema(SCHEMA), execute: weather }) };

async function read(options) {
  const result = streamText({ ...asked, onError() {}, ...options });
  const parts = [];
  for await (const part of result.fullStream) parts.push(part);
  return { result, parts, text: parts.filter((part) => part.type === "text-delta").map((part) => part.text).join("") };
}

const whole = await generateText({ ...asked, prompt: TEXT });
has(whole.text, TEXT_ANSWER);
const streamed = await read({ prompt: TEXT });
assert.equal(streamed.text, whole.text);
assert.ok((await streamed.result.usage).outputTokens > 0);

for (const [prompt, answers] of Object.entries(TOOLS)) {
  const loop = { prompt, tools, stopWhen: stepCountIs(3) };
  has((await generateText({ ...asked, ...loop })).text, ...answers);
  has((await read(loop)).text, ...answers);
}

// @ai-sdk/openai knows no reasoning on the chat API, and on the Responses API only summaries, which one wire has.
if (API === "responses" ? MODEL.endsWith("responses") : API !== "chat") {
  const { parts, text } = await read({ prompt: THINK });
  has(parts.filter((part) => part.type === "reasoning-delta").map((part) => part.text).join(""), THOUGHT);
  has(text, TEXT_ANSWER);
}

const failed = await read({ prompt: ERROR });
assert.ok(failed.parts.some((part) => part.type === "error"), "an answer that failed looked whole");

const stop = new AbortController();
const store = { openai: { store: false }, tailrace: { store: false } };
for await (const part of streamText({ ...asked, prompt: LONG, abortSignal: stop.signal, providerOptions: store }).fullStream)
  if (part.type === "text-delta") stop.abort();
