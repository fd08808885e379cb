"""Bedrock's Converse, scripted. Shapes: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html.

The model and the kind of answer stand in the path. Each event is padded (`p`), as the vendor's are.
"""

import re
from base64 import b64decode, b64encode
from typing import Any

from tailrace.schema import codec
from tailrace.testing.moves import Fail
from tailrace.testing.wires.base import (
    Asked,
    Json,
    Memory,
    OfferedTool,
    ScriptedWire,
    Ticket,
    is_sealed,
    seal,
    sign,
    text_of,
)
from tailrace.testing.wires.plan import Block, Plan
from tailrace.wire import eventstream

_STOP = {"stop": "end_turn", "length": "max_tokens", "refusal": "content_filtered", "tool_calls": "tool_use"}
_STREAMED = "converse-stream"

# canonical code -> the vendor's exception; status -> the same
_IN_STREAM = {
    "rate_limited": "throttlingException",
    "overloaded": "serviceUnavailableException",
    "invalid_request": "validationException",
    "context_overflow": "validationException",
}
_OVER_HTTP = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}

_REQUEST = frozenset({
    "messages", "system", "inferenceConfig", "toolConfig", "guardrailConfig", "additionalModelRequestFields",
    "promptVariables", "additionalModelResponseFieldPaths", "requestMetadata", "performanceConfig", "serviceTier",
    "outputConfig", "model", "operation",
})  # fmt: skip
_INFERENCE = frozenset({"maxTokens", "temperature", "topP", "stopSequences"})
_BLOCKS = frozenset({
    "text", "image", "document", "video", "audio", "toolUse", "toolResult", "guardContent", "cachePoint",
    "reasoningContent", "citationsContent", "searchResult",
})  # fmt: skip
_IN_RESULT = frozenset({"json", "text", "image", "document", "video", "searchResult"})
_USE = frozenset({"toolUseId", "name", "input", "type"})
_RESULT = frozenset({"toolUseId", "content", "status", "type"})
_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_DOCUMENT = re.compile(r"[a-zA-Z0-9()\[\] -]{1,200}")
_MIN_BUDGET = 1024


class _Renderer:
    keep_alive = b""  # the vendor has none

    def __init__(self, plan: Plan, ticket: Ticket, body: Json, memory: Memory) -> None:
        self._plan = plan
        self._ticket = ticket
        self._recall(body["model"], memory)

    def start(self) -> bytes:
        return _event("messageStart", role="assistant")

    def opened(self, block: Block) -> bytes:
        if block.kind == "call":
            use = {"toolUseId": self._call_id(block), "name": block.name}
            return _event("contentBlockStart", contentBlockIndex=block.index, start={"toolUse": use})
        return self._delta(block, {"reasoningContent": _redacted(block)}) if block.redacted else b""

    def grew(self, block: Block, piece: str) -> bytes:
        if block.redacted:
            return b""
        if block.kind == "call":
            return self._delta(block, {"toolUse": {"input": piece}})
        return self._delta(
            block, {"reasoningContent": {"text": piece}} if block.kind == "reasoning" else {"text": piece}
        )

    def closed(self, block: Block) -> bytes:
        frames = _event("contentBlockStop", contentBlockIndex=block.index)
        if block.kind != "reasoning" or block.redacted:
            return frames
        return self._delta(block, {"reasoningContent": {"signature": sign(block.text)}}) + frames

    def failed(self, fail: Fail) -> bytes:
        name = _IN_STREAM.get(fail.code, "internalServerException")
        return eventstream.exception(name, codec.encode({"message": fail.message}))

    def end(self) -> bytes:
        stop = _event("messageStop", stopReason=_STOP[self._plan.finish])
        return stop + _event("metadata", usage=self._usage(), metrics={"latencyMs": 7})

    def whole(self) -> Json:
        message = {"role": "assistant", "content": [self._content(block) for block in self._plan.blocks]}
        return {
            "output": {"message": message},
            "stopReason": _STOP[self._plan.finish],
            "usage": self._usage(),
            "metrics": {"latencyMs": 7},
        }

    def _delta(self, block: Block, delta: Json) -> bytes:
        return _event("contentBlockDelta", contentBlockIndex=block.index, delta=delta)

    def _usage(self) -> Json:
        spent = self._plan.spent
        return {
            "inputTokens": spent.prompt - spent.cached,
            "outputTokens": spent.completion,
            "totalTokens": spent.prompt + spent.completion,
            "cacheReadInputTokens": spent.cached,
            "cacheWriteInputTokens": 0,
        }

    def _content(self, block: Block) -> Json:
        if block.redacted:
            return {"reasoningContent": _redacted(block)}
        if block.kind == "reasoning":
            return {"reasoningContent": {"reasoningText": {"text": block.text, "signature": sign(block.text)}}}
        if block.kind == "call":
            arguments = codec.decode_any(block.text) if block.text else {}
            return {"toolUse": {"toolUseId": self._call_id(block), "name": block.name, "input": arguments}}
        return {"text": block.text}

    def _call_id(self, block: Block) -> str:
        return block.call_id or self._ticket.id("tooluse_", block.index)

    def _recall(self, model: str, memory: Memory) -> None:
        reasoning: list[Json] = []
        for block in self._plan.blocks:
            if block.kind == "reasoning":
                reasoning = [*reasoning, self._content(block)]
            elif block.kind == "call" and reasoning:
                memory.keep(model, self._call_id(block), reasoning)


def _redacted(block: Block) -> Json:
    """Bytes, and so base64."""
    return {"redactedContent": b64encode(seal(block.text).encode()).decode()}


def _event(name: str, /, **fields: Any) -> bytes:
    return eventstream.event(name, codec.encode({**fields, "p": "abcdefghijklmnopqrstuvwxyz"}))


def _error(status: int, message: str) -> Json:
    return {"message": message}


def _error_headers(status: int) -> dict[str, str]:
    return {"x-amzn-ErrorType": _OVER_HTTP.get(status, "InternalServerException")}


def _of(message: Json, kind: str) -> list[Json]:
    """The blocks of a kind in a message."""
    return [block[kind] for block in message.get("content", ()) if kind in block]


def _read(body: Json) -> Asked:
    messages = body.get("messages") or []
    said = (message for message in messages if message["role"] == "user" and not _of(message, "toolResult"))
    specs = (tool.get("toolSpec") for tool in body.get("toolConfig", {}).get("tools", ()))
    return Asked(
        wire=WIRE.name,
        model=body["model"],
        stream=body.get("operation", _STREAMED) == _STREAMED,
        user_texts=tuple(text_of(message.get("content")) for message in said),
        tools=tuple(OfferedTool(spec["name"], spec["inputSchema"]["json"]) for spec in specs if spec),
        outputs=tuple(text_of(result["content"]) for result in _of(messages[-1], "toolResult")) if messages else (),
        body=body,
    )


# --- what the vendor refuses --------------------------------------------------------------------------------------


def _complaint(body: Json, memory: Memory) -> str | None:
    unknown = body.keys() - _REQUEST or body.get("inferenceConfig", {}).keys() - _INFERENCE
    if unknown:
        return f"Unexpected field: {', '.join(sorted(unknown))}"
    return _bad_thinking(body) or _bad_tools(body) or _bad_messages(body, memory)


def _bad_thinking(body: Json) -> str | None:
    budget = body.get("additionalModelRequestFields", {}).get("thinking", {}).get("budget_tokens")
    limit = body.get("inferenceConfig", {}).get("maxTokens", 0)
    if budget is not None and not _MIN_BUDGET <= budget < limit:
        return f"thinking.budget_tokens: must be at least {_MIN_BUDGET} and less than maxTokens"
    return None


def _bad_tools(body: Json) -> str | None:
    blocks = [block for message in body.get("messages") or () for block in message.get("content", ())]
    config = body.get("toolConfig")
    if config is None:
        has_any = any("toolUse" in block or "toolResult" in block for block in blocks)
        return "The toolConfig field must be defined when using toolUse and toolResult blocks." if has_any else None
    if not config.get("tools") or config.keys() - {"tools", "toolChoice"}:
        return "toolConfig.tools: must have at least 1 item"
    names = [tool["toolSpec"]["name"] for tool in config["tools"] if "toolSpec" in tool]
    if any(not _NAME.fullmatch(name) for name in names) or len(names) != len(set(names)):
        return "toolConfig.tools: names must be distinct and match [a-zA-Z0-9_-]+"
    choice = config.get("toolChoice", {})
    if len(choice) > 1 or choice.keys() - {"auto", "any", "tool"}:
        return "toolConfig.toolChoice: exactly one of auto, any and tool"
    if "tool" in choice and choice["tool"]["name"] not in names:
        return "toolConfig.toolChoice.tool: is not among the tools"
    return None


def _bad_messages(body: Json, memory: Memory) -> str | None:
    messages = body.get("messages") or []
    if not messages or messages[0].get("role") != "user":
        return "A conversation must start with a user message."
    names: set[str] = set()
    for at, message in enumerate(messages):
        before = messages[at - 1] if at else {}
        after = messages[at + 1] if at + 1 < len(messages) else {}
        problem = (
            _bad_turn(before, message)
            or _unpaired(before, message, after)
            or next((bad for block in message["content"] if (bad := _bad_block(block, names))), None)
            or _bad_reasoning(message, body["model"], memory)
        )
        if problem:
            return f"messages.{at}: {problem}"
    return None


def _bad_turn(before: Json, message: Json) -> str | None:
    if message.keys() != {"role", "content"} or message["role"] not in {"user", "assistant"}:
        return "a message has a role (user or assistant) and a content"
    if before and before["role"] == message["role"]:
        return "roles must alternate between user and assistant"
    if not message["content"]:
        return "the content is empty"
    if _of(message, "document") and not _of(message, "text"):
        return "a text is required beside a document"
    return None


def _unpaired(before: Json, message: Json, after: Json) -> str | None:
    """Every toolUse is answered in the very next message, and every toolResult asked for. What has a type is the
    vendor's own affair."""
    asked_before = {use["toolUseId"] for use in _of(before, "toolUse")}
    answered = {result["toolUseId"] for result in _of(after, "toolResult")}
    for use in _of(message, "toolUse"):
        if "type" not in use and use["toolUseId"] not in answered:
            return f"Expected toolResult blocks for the following Ids: {use['toolUseId']}"
    results = [result["toolUseId"] for result in _of(message, "toolResult") if "type" not in result]
    if len(results) != len(set(results)):
        return "a toolUse has two toolResults"
    if not set(results) <= asked_before:
        return "The number of toolResult blocks exceeds the number of toolUse blocks of previous turn."
    return None


def _bad_block(block: Json, names: set[str]) -> str | None:
    if len(block) != 1 or block.keys() - _BLOCKS:
        return f"a content block is exactly one of {', '.join(sorted(_BLOCKS))}"
    ((kind, data),) = block.items()
    if kind == "text":
        return None if data.strip() else "The text field in the ContentBlock object is blank."
    if kind == "toolUse":
        return _bad_use(data)
    if kind == "toolResult":
        return _bad_result(data, names)
    if kind == "image":
        return None if data.get("format") in {"png", "jpeg", "gif", "webp"} else "image.format is unknown"
    return _bad_document(data, names) if kind == "document" else None


def _bad_use(data: Json) -> str | None:
    if data.keys() - _USE or not isinstance(data.get("input"), dict):
        return "toolUse.input must be an object"
    if not (_ID.fullmatch(data["toolUseId"]) and _NAME.fullmatch(data["name"])):
        return "toolUse.toolUseId or toolUse.name does not match its pattern"
    return None


def _bad_result(data: Json, names: set[str]) -> str | None:
    content = data.get("content")
    if data.keys() - _RESULT or not isinstance(content, list):
        return "toolResult.content must be a list"
    if data.get("status", "success") not in {"success", "error"}:
        return "toolResult.status must be success or error"
    for inner in content:
        if len(inner) != 1 or inner.keys() - _IN_RESULT:
            return f"the content of a toolResult is exactly one of {', '.join(sorted(_IN_RESULT))}"
        problem = _bad_block(inner, names) if "json" not in inner else None
        if problem:
            return problem
    return None


def _bad_document(data: Json, names: set[str]) -> str | None:
    name = data["name"]
    if not _DOCUMENT.fullmatch(name) or "  " in name:
        return "The document file name can only contain alphanumeric characters, whitespace, hyphens and brackets."
    if name in names:
        return "The document file names must be distinct."
    names.add(name)
    return None


def _bad_reasoning(message: Json, model: str, memory: Memory) -> str | None:
    """Reasoning must come back as it was sent, and not be left out before its tool use."""
    blocks = [block for block in message["content"] if "reasoningContent" in block]
    for block in blocks:
        if not _is_ours(block["reasoningContent"]):
            return "Invalid `signature` in `thinking` block"
    for use in _of(message, "toolUse"):
        if any(block not in blocks for block in memory.thinking.get((model, use["toolUseId"]), ())):
            return f"the reasoning before toolUse {use['toolUseId']} must come back unchanged"
    return None


def _is_ours(content: Json) -> bool:
    if "redactedContent" in content:
        try:
            return is_sealed(b64decode(content["redactedContent"], validate=True).decode())
        except ValueError:
            return False
    text = content["reasoningText"]
    return bool(sign(text["text"]) == text.get("signature"))


WIRE = ScriptedWire(
    name="bedrock-converse",
    path=r"/model/{model}/{operation:converse(?:-stream)?}",
    read=_read,
    complaint=_complaint,
    renderer=_Renderer,
    error=_error,
    error_headers=_error_headers,
    content_type=eventstream.MEDIA_TYPE,
)
