// An item that still grows. Strings here are the engine's ropes: growing one is cheap until somebody reads it.

/** What is known of an open item. */
export class Draft {
  #main;
  #refusal = null;
  #side = new Map(); // a provider item's channels, by name

  /** `start` is the payload of an `item_start`. */
  constructor(start) {
    this.start = start;
    this.#main = start.initial_content || start.arguments || start.code || "";
  }

  /** The draft whose `item()` is `item`: for folding on from a snapshot. */
  static reopen(item) {
    const draft = new Draft(startOf(item));
    const [part, ...others] = item.parts ?? [];
    if (item.type === "message" && part?.type === "refusal" && !others.length) draft.#refusal = part.refusal;
    if (item.type === "provider_item" && isObject(item.data)) draft.#side = new Map(Object.entries(item.data));
    return draft;
  }

  /** The main text as far as it has come. */
  get text() {
    return this.#main;
  }

  /** Take an `item_delta`: of the main text, or of a channel. Channels that only the final item shows are passed over. */
  grow(delta) {
    const channel = delta.channel ?? null;
    if (channel === null) this.#main += delta.delta_content;
    else if (channel === "refusal") {
      this.#refusal = (this.#refusal ?? "") + delta.delta_content;
      this.#main += delta.delta_content;
    } else if (this.start.item_type === "provider_item") {
      this.#side.set(channel, (this.#side.get(channel) ?? "") + delta.delta_content);
    }
  }

  /** The item as far as it has come. */
  item() {
    const build = BUILD[this.start.item_type] ?? unknown;
    return {
      type: this.start.item_type,
      id: this.start.item_id,
      ...build(this.start, this.#main, this.#refusal, this.#side),
    };
  }
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

// One builder per item type: what the item has beside its type and id.
const BUILD = {
  message: (start, content, refusal) => ({
    content,
    origin: start.origin ?? "agent",
    ...(refusal === null ? {} : { parts: [{ type: "refusal", refusal }] }),
  }),
  reasoning: (start, content) => ({ content, origin: start.origin ?? "agent" }),
  function_call: (start, text) => ({
    name: start.name ?? "",
    arguments: text,
    call_id: start.call_id ?? "",
    origin: "agent",
    ...(start.kind ? { kind: start.kind } : {}),
  }),
  function_call_output: (start, output) => ({
    call_id: start.call_id ?? "",
    output,
    success: true,
    origin: start.origin ?? "system",
  }),
  script_execution: (start, code) => ({ code, language: start.language ?? "javascript", origin: "agent" }),
  script_execution_output: (start, result) => ({
    script_id: start.call_id ?? "",
    result,
    success: true,
    logs: [],
    operations: [],
    origin: start.origin ?? "system",
  }),
  provider_item: (start, text, _refusal, side) => ({
    provider_type: start.provider_type ?? "",
    data: Object.fromEntries(side),
    origin: "agent",
    ...(text ? { text } : {}),
  }),
  error: (_start, message) => ({ code: "internal", message, origin: "system" }),
  cancelled: (_start, reason) => ({ origin: "system", ...(reason ? { reason } : {}) }),
};

// A type that this version has no word for: all that its start said, and what came since.
const unknown = ({ type: _tag, item_id: _id, item_type: _type, ...said }, content) => ({ ...said, content });

// item -> what its `item_start` would have said, beside item_id and item_type.
const START = {
  message: (item) => ({ origin: item.origin, initial_content: item.content }),
  reasoning: (item) => ({ origin: item.origin, initial_content: item.content }),
  function_call: (item) => ({ name: item.name, call_id: item.call_id, arguments: item.arguments, kind: item.kind }),
  function_call_output: (item) => ({ origin: item.origin, call_id: item.call_id, initial_content: item.output }),
  script_execution: (item) => ({ code: item.code, language: item.language }),
  script_execution_output: (item) => ({ origin: item.origin, call_id: item.script_id, initial_content: item.result }),
  provider_item: (item) => ({ provider_type: item.provider_type, initial_content: item.text }),
  error: (item) => ({ initial_content: item.message }),
  cancelled: (item) => ({ initial_content: item.reason }),
};

/** The `item_start` that announces `item` with all of its main text. */
export function startOf(item) {
  const said = START[item.type] ?? ((other) => ({ initial_content: other.content }));
  return { item_id: item.id, item_type: item.type, ...said(item) };
}
