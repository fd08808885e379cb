"""Asking the scripted upstream in each wire's own words, and reading what it says: without our decoders."""

from collections.abc import Iterator

from botocore.eventstream import EventStreamBuffer
from yarl import URL

from tailrace.schema import codec

PATHS = {
    "openai-responses": "/v1/responses",
    "anthropic-messages": "/v1/messages",
    "openai-chat-completions": "/v1/chat/completions",
    "google-gemini": "/v1beta/models/m:generateContent",
    "bedrock-converse": "/model/m%3A0/converse",
    "ollama": "/api/chat",
}
RESPONSES, MESSAGES, CHAT, GEMINI, BEDROCK, OLLAMA = PATHS
STREAMED = {GEMINI: "/v1beta/models/m:streamGenerateContent?alt=sse", BEDROCK: f"{PATHS[BEDROCK]}-stream"}
KEEP_ALIVES = {**dict.fromkeys((RESPONSES, CHAT, GEMINI), (b": keep-alive", 1)), MESSAGES: (b"event: ping", 2)}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}


def asking(wire: str, *texts: str, tools: bool = False, stream: bool = True) -> dict:
    """A request in the wire's form: `texts` by turns from user and assistant."""
    turns = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)]
    function = {"name": "get_weather", "parameters": SCHEMA}
    if wire == RESPONSES:
        offered = [{"type": "function", **function}]
        body = {"model": "m", "input": turns, "include": ["reasoning.encrypted_content"]}
    elif wire == MESSAGES:
        offered = [{"name": "get_weather", "input_schema": SCHEMA}]
        body = {"model": "m", "max_tokens": 2000, "messages": turns}
    elif wire == GEMINI:
        roles = {"user": "user", "assistant": "model"}
        offered = [{"functionDeclarations": [{"name": "get_weather", "parametersJsonSchema": SCHEMA}]}]
        body = {"contents": [{"role": roles[turn["role"]], "parts": [{"text": turn["content"]}]} for turn in turns]}
    elif wire == BEDROCK:
        offered = [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": SCHEMA}}}]
        messages = [{"role": turn["role"], "content": [{"text": turn["content"]}]} for turn in turns]
        tools_too = {"toolConfig": {"tools": offered}} if tools else {}
        return {"model": "m:0", "messages": messages, "stream": stream, **tools_too}
    elif wire == OLLAMA:
        offered = [{"type": "function", "function": function}]
        body = {"model": "m", "messages": turns}
    else:
        offered = [{"type": "function", "function": function}]
        body = {"model": "m", "messages": turns, "stream_options": {"include_usage": True}}
    return {**body, "stream": stream, **({"tools": offered} if tools else {})}


def sent(client, up, wire, body):
    """The request: on two wires the path says the model and the kind of answer, the body on the others."""
    path = PATHS[wire]
    if not body.get("stream"):  # then the vendor refuses the field
        body = {name: value for name, value in body.items() if name != "stream_options"}
    if wire in STREAMED:
        path = STREAMED[wire] if body["stream"] else path
        body = {name: value for name, value in body.items() if name not in {"model", "stream"}}
    return client.post(URL(up.origin + path, encoded=True), data=codec.encode(body))


async def post(client, up, wire, body):
    async with sent(client, up, wire, body) as response:
        return response.status, response.headers, await response.read()


async def stream(client, up, wire, body) -> list[dict]:
    status, headers, raw = await post(client, up, wire, body)
    assert status == 200, raw
    assert headers["content-type"].startswith(TYPES.get(wire, "text/event-stream"))
    return frames(wire, raw)


TYPES = {BEDROCK: "application/vnd.amazon.eventstream", OLLAMA: "application/x-ndjson"}


async def whole(client, up, wire, body) -> dict:
    status, _, raw = await post(client, up, wire, {**body, "stream": False})
    assert status == 200, raw
    return codec.decode_any(raw)


def frames(wire: str, raw: bytes) -> list[dict]:
    """The JSON of each event; its `event:` line, where there is one, says its type."""
    if wire == OLLAMA:
        return [codec.decode_any(line) for line in raw.splitlines()]
    if wire == BEDROCK:
        return list(messages_of(raw))
    found = []
    for frame in raw.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in frame.split("\n") if line and not line.startswith(":"))
        if fields and fields["data"] != "[DONE]":
            data = codec.decode_any(fields["data"])
            assert fields.get("event") in {None, data.get("type")}
            found.append(data)
    return found


def messages_of(raw: bytes) -> Iterator[dict]:
    """AWS's own parser reads the frames; each as `{its name: payload}`."""
    buffer = EventStreamBuffer()
    buffer.add_data(raw)
    for message in buffer:
        payload = codec.decode_any(message.payload)
        if message.headers[":message-type"] == "exception":
            yield {"error": {"type": message.headers[":exception-type"], **payload}}
        else:
            yield {message.headers[":event-type"]: payload}


def deltas(wire: str, events: list[dict]) -> list[str]:
    """The pieces of visible text."""
    if wire == RESPONSES:
        return [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    if wire == MESSAGES:
        found = (event["delta"] for event in events if event["type"] == "content_block_delta")
        return [delta["text"] for delta in found if delta["type"] == "text_delta"]
    if wire == GEMINI:
        parts = [part for event in events if "error" not in event for part in parts_of(event)]
        return [part["text"] for part in parts if part.get("text") and not part.get("thought")]
    if wire == BEDROCK:
        found = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
        return [delta["text"] for delta in found if "text" in delta]
    if wire == OLLAMA:
        return [event["message"]["content"] for event in events if event.get("message", {}).get("content")]
    found = (choice["delta"] for event in events for choice in event.get("choices", ()))
    return [delta["content"] for delta in found if delta.get("content")]


def parts_of(answer: dict) -> list[dict]:
    """The parts of a response of Gemini's."""
    return answer["candidates"][0]["content"]["parts"]


def text(wire: str, answer: dict) -> str:
    """The visible text of a whole answer."""
    if wire == RESPONSES:
        parts = [part for item in answer["output"] for part in item.get("content") or ()]
    elif wire == MESSAGES:
        parts = [block for block in answer["content"] if block["type"] == "text"]
    elif wire == GEMINI:
        parts = [part for part in parts_of(answer) if "text" in part and not part.get("thought")]
    elif wire == BEDROCK:
        parts = [block for block in answer["output"]["message"]["content"] if "text" in block]
    elif wire == OLLAMA:
        return answer["message"]["content"]
    else:
        return answer["choices"][0]["message"]["content"] or ""
    return "".join(part["text"] for part in parts)


def calls(wire: str, answer: dict) -> list[tuple[str, str, object]]:
    """Id, name and arguments of the calls in a whole answer."""
    if wire == RESPONSES:
        items = [item for item in answer["output"] if item["type"] == "function_call"]
        return [(item["call_id"], item["name"], codec.decode_any(item["arguments"])) for item in items]
    if wire == MESSAGES:
        return [(use["id"], use["name"], use["input"]) for use in answer["content"] if use["type"] == "tool_use"]
    if wire == GEMINI:
        made = [part["functionCall"] for part in parts_of(answer) if "functionCall" in part]
        return [(call["id"], call["name"], call["args"]) for call in made]
    if wire == BEDROCK:
        uses = (block["toolUse"] for block in answer["output"]["message"]["content"] if "toolUse" in block)
        return [(use["toolUseId"], use["name"], use["input"]) for use in uses]
    if wire == OLLAMA:
        made = answer["message"].get("tool_calls") or ()
        return [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in made]
    found = answer["choices"][0]["message"].get("tool_calls") or ()
    return [(c["id"], c["function"]["name"], codec.decode_any(c["function"]["arguments"])) for c in found]


def reason(wire: str, answer: dict) -> str:
    if wire == RESPONSES:
        return (answer["incomplete_details"] or {"reason": answer["status"]})["reason"]
    if wire == GEMINI:
        return answer["candidates"][0]["finishReason"]
    names = {MESSAGES: "stop_reason", BEDROCK: "stopReason", OLLAMA: "done_reason"}
    return answer[names[wire]] if wire in names else answer["choices"][0]["finish_reason"]


def offered(body: dict) -> list[str]:
    """The names of the tools that a request on any wire offers."""
    tools = body.get("toolConfig", body).get("tools", [])
    tools = [each for tool in tools for each in tool.get("functionDeclarations", [tool])]
    return [(tool.get("function") or tool.get("toolSpec") or tool)["name"] for tool in tools]


def with_outputs(wire: str, body: dict, answer: dict, *outputs: str) -> dict:
    """The next request: `answer` in the history, and what the tools said."""
    pairs = list(zip(calls(wire, answer), outputs, strict=True))
    if wire == RESPONSES:
        results = [{"type": "function_call_output", "call_id": call[0], "output": said} for call, said in pairs]
        return {**body, "input": [*body["input"], *answer["output"], *results]}
    if wire == MESSAGES:
        results = [{"type": "tool_result", "tool_use_id": call[0], "content": said} for call, said in pairs]
        turn = [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": results}]
    elif wire == GEMINI:
        results = [
            {"functionResponse": {"id": call[0], "name": call[1], "response": {"output": said}}} for call, said in pairs
        ]
        turn = [answer["candidates"][0]["content"], {"role": "user", "parts": results}]
        return {**body, "contents": [*body["contents"], *turn]}
    elif wire == BEDROCK:
        results = [{"toolResult": {"toolUseId": call[0], "content": [{"text": said}]}} for call, said in pairs]
        turn = [answer["output"]["message"], {"role": "user", "content": results}]
    elif wire == OLLAMA:
        results = [
            {"role": "tool", "tool_call_id": call[0], "tool_name": call[1], "content": said} for call, said in pairs
        ]
        turn = [answer["message"], *results]
    else:
        results = [{"role": "tool", "tool_call_id": call[0], "content": said} for call, said in pairs]
        turn = [answer["choices"][0]["message"], *results]
    return {**body, "messages": [*body["messages"], *turn]}
