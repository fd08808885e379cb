// The `openai` package, on the Chat Completions and the Responses API.
import assert from "node:assert/strict";
import { OpenAI } from "openai";
import { API, ERROR, LONG, MODEL, SCHEMA, TEXT, TEXT_ANSWER, THINK, THOUGHT, TOOLS, URL, has, weather } from "./common.mjs";

const client = new OpenAI({ baseURL: `${URL}/v1`, apiKey: "k", maxRetries: 0 });
const model = MODEL;
const user = (content) => ({ role: "user", content });

async function chat() {
  const whole = await client.chat.completions.create({ model, messages: [user(TEXT)] });
  const streamed = await client.chat.completions.stream({ model, messages: [user(TEXT)] }).finalContent();
  has(streamed, TEXT_ANSWER);
  assert.equal(whole.choices[0].message.content, streamed);

  const tools = [{ type: "function", function: { name: "weather", parameters: SCHEMA } }];
  for (const [prompt, answers] of Object.entries(TOOLS)) {
    const { message } = (await client.chat.completions.stream({ model, messages: [user(prompt)], tools }).finalChatCompletion()).choices[0];
    const outputs = message.tool_calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: weather(JSON.parse(call.function.arguments)) }));
    const again = await client.chat.completions.create({ model, tools, messages: [user(prompt), message, ...outputs] });
    has(again.choices[0].message.content, ...answers);
  }

  let thought = "";
  for await (const chunk of await client.chat.completions.create({ model, messages: [user(THINK)], stream: true }))
    thought += chunk.choices[0]?.delta.reasoning_content ?? "";
  has(thought, THOUGHT);

  await assert.rejects(async () => {
    for await (const _ of await client.chat.completions.create({ model, messages: [user(ERROR)], stream: true }));
  }, /as it was asked to/);

  const long = await client.chat.completions.create({ model, messages: [user(LONG)], stream: true, store: false });
  for await (const chunk of long) if (chunk.choices[0]?.delta.content) break; // leaving the loop closes the stream
}

async function responses() {
  const whole = await client.responses.create({ model, input: TEXT });
  const streamed = await client.responses.stream({ model, input: TEXT }).finalResponse();
  has(whole.output_text, TEXT_ANSWER);
  assert.equal(streamed.output_text, whole.output_text);

  const tools = [{ type: "function", name: "weather", parameters: SCHEMA, strict: true }];
  for (const [prompt, answers] of Object.entries(TOOLS)) {
    const first = await client.responses.stream({ model, input: prompt, tools }).finalResponse();
    const input = first.output
      .filter((item) => item.type === "function_call")
      .map((item) => ({ type: "function_call_output", call_id: item.call_id, output: weather(JSON.parse(item.arguments)) }));
    const again = await client.responses.create({ model, input, tools, previous_response_id: first.id });
    has(again.output_text, ...answers);
  }

  const events = [];
  for await (const event of await client.responses.create({ model, input: TEXT, stream: true })) events.push(event);
  const id = events[0].response.id;
  for (const cut of [0, 3, 7]) {
    const rest = [];
    for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: cut })) rest.push(event);
    assert.deepEqual(rest, events.slice(cut + 1));
  }

  let polled = await client.responses.create({ model, input: TEXT, background: true });
  while (["queued", "in_progress"].includes(polled.status)) polled = await client.responses.retrieve(polled.id);
  has(polled.output_text, TEXT_ANSWER);

  await assert.rejects(async () => {
    for await (const _ of await client.responses.create({ model, input: ERROR, stream: true }));
  }, /as it was asked to/);

  const long = await client.responses.create({ model, input: LONG, background: true });
  assert.equal((await client.responses.cancel(long.id)).status, "cancelled");
}

await (API === "chat" ? chat() : responses());
