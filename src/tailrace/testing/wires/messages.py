"""Anthropic Messages, scripted. Shapes: https://docs.anthropic.com/en/docs/build-with-claude/streaming."""

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
    event,
    is_sealed,
    seal,
    sign,
    text_of,
)
from tailrace.testing.wires.plan import Block, Plan

_STOP = {"stop": "end_turn", "length": "max_tokens", "refusal": "refusal", "tool_calls": "tool_use"}
_THINKING = ("thinking", "redacted_thinking")
_MIN_BUDGET = 1024

# canonical code -> the vendor's error type; status -> the same
_IN_STREAM = {
    "rate_limited": "rate_limit_error",
    "overloaded": "overloaded_error",
    "invalid_request": "invalid_request_error",
    "context_overflow": "invalid_request_error",
}
_OVER_HTTP = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class _Renderer:
    keep_alive = event("ping", {"type": "ping"})

    def __init__(self, plan: Plan, ticket: Ticket, body: Json, memory: Memory) -> None:
        self._plan = plan
        self._ticket = ticket
        self._model = body["model"]
        self._recall(memory)

    def start(self) -> bytes:
        message = {**self._message([], None), "usage": {**self._input(), "output_tokens": 1}}
        return _event("message_start", message=message) + self.keep_alive

    def opened(self, block: Block) -> bytes:
        content = self._content(block, whole=False)
        frames = _event("content_block_start", index=block.index, content_block=content)
        if block.kind == "call" and block.text:
            frames += self.grew(block, "")  # the vendor, too, begins arguments with an empty piece
        return frames

    def grew(self, block: Block, piece: str) -> bytes:
        if block.redacted:
            return b""
        if block.kind == "call":
            delta = {"type": "input_json_delta", "partial_json": piece}
        elif block.kind == "reasoning":
            delta = {"type": "thinking_delta", "thinking": piece}
        else:
            delta = {"type": "text_delta", "text": piece}
        return _event("content_block_delta", index=block.index, delta=delta)

    def closed(self, block: Block) -> bytes:
        frames = _event("content_block_stop", index=block.index)
        if block.kind != "reasoning" or block.redacted:
            return frames
        delta = {"type": "signature_delta", "signature": sign(block.text)}
        return _event("content_block_delta", index=block.index, delta=delta) + frames

    def failed(self, fail: Fail) -> bytes:
        kind = _IN_STREAM.get(fail.code, "api_error")
        return _event("error", error={"type": kind, "message": fail.message})

    def end(self) -> bytes:
        delta = {"stop_reason": _STOP[self._plan.finish], "stop_sequence": None}
        usage = {**self._input(), "output_tokens": self._plan.spent.completion}
        return _event("message_delta", delta=delta, usage=usage) + _event("message_stop")

    def whole(self) -> Json:
        content = [self._content(block, whole=True) for block in self._plan.blocks]
        usage = {**self._input(), "output_tokens": self._plan.spent.completion}
        return {**self._message(content, _STOP[self._plan.finish]), "usage": usage}

    def _message(self, content: list[Json], stop_reason: str | None) -> Json:
        return {
            "id": self._ticket.id("msg_"),
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
        }

    def _input(self) -> Json:
        spent = self._plan.spent
        return {
            "input_tokens": spent.prompt - spent.cached,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": spent.cached,
        }

    def _content(self, block: Block, *, whole: bool) -> Json:
        text = block.text if whole else ""
        if block.redacted:
            return {"type": "redacted_thinking", "data": seal(block.text)}
        if block.kind == "reasoning":
            return {"type": "thinking", "thinking": text, "signature": sign(text) if whole else ""}
        if block.kind == "call":
            arguments = codec.decode_any(text) if text else {}
            return {"type": "tool_use", "id": self._call_id(block), "name": block.name, "input": arguments}
        return {"type": "text", "text": text}

    def _call_id(self, block: Block) -> str:
        return block.call_id or self._ticket.id("toolu_", block.index)

    def _recall(self, memory: Memory) -> None:
        thinking: list[Json] = []
        for block in self._plan.blocks:
            if block.kind == "reasoning":
                thinking = [*thinking, self._content(block, whole=True)]
            elif block.kind == "call" and thinking:
                memory.keep(self._model, self._call_id(block), thinking)


def _event(name: str, **fields: Any) -> bytes:
    return event(name, {"type": name, **fields})


def _error(status: int, message: str) -> Json:
    return {"type": "error", "error": {"type": _OVER_HTTP.get(status, "api_error"), "message": message}}


def _blocks(message: Json, *kinds: str) -> list[Json]:
    content = message.get("content")
    return [block for block in content if block.get("type") in kinds] if isinstance(content, list) else []


def _read(body: Json) -> Asked:
    messages = body.get("messages") or []
    said = (message for message in messages if message["role"] == "user" and not _blocks(message, "tool_result"))
    results = _blocks(messages[-1], "tool_result") if messages else []
    return Asked(
        wire=WIRE.name,
        model=body["model"],
        stream=bool(body.get("stream")),
        user_texts=tuple(text_of(message.get("content")) for message in said),
        tools=tuple(OfferedTool(tool["name"], tool.get("input_schema") or {}) for tool in body.get("tools") or ()),
        outputs=tuple(text_of(result.get("content")) for result in results),
        body=body,
    )


def _complaint(body: Json, memory: Memory) -> str | None:
    limit, budget = body.get("max_tokens"), (body.get("thinking") or {}).get("budget_tokens")
    if not isinstance(limit, int) or limit < 1:
        return "max_tokens: Field required"
    if budget is not None and not _MIN_BUDGET <= budget < limit:
        return f"thinking.budget_tokens: must be at least {_MIN_BUDGET} and less than max_tokens"
    messages = body.get("messages") or []
    if not messages or messages[0].get("role") != "user":
        return "messages: the first message must have the role user"
    for at, message in enumerate(messages):
        before = messages[at - 1] if at else {}
        after = messages[at + 1] if at + 1 < len(messages) else {}
        problem = _unpaired(before, message, after) or _bad_block(message, body["model"], memory)
        if problem:
            return f"messages.{at}: {problem}"
    return None


def _unpaired(before: Json, message: Json, after: Json) -> str | None:
    """The vendor wants every tool_use answered in the very next message, and every tool_result asked for."""
    asked_before = {block["id"] for block in _blocks(before, "tool_use")}
    answered = {block["tool_use_id"] for block in _blocks(after, "tool_result")}
    for block in _blocks(message, "tool_use"):
        if block["id"] not in answered:
            return f"tool_use {block['id']} has no tool_result in the next message"
    for block in _blocks(message, "tool_result"):
        if block["tool_use_id"] not in asked_before:
            return f"tool_result {block['tool_use_id']} has no tool_use in the message before"
    return None


def _bad_block(message: Json, model: str, memory: Memory) -> str | None:
    """Text must not be empty; thinking must come back as it was sent, and not be left out before its tool use."""
    for block in _blocks(message, "text"):
        if not block["text"]:
            return "text content blocks must be non-empty"
    thinking = _blocks(message, *_THINKING)
    for block in thinking:
        if not _is_ours(block):
            return f"invalid signature in {block['type']} block"
    for use in _blocks(message, "tool_use"):
        if any(block not in thinking for block in memory.thinking.get((model, use["id"]), ())):
            return f"the thinking blocks before tool_use {use['id']} must come back unchanged"
    return None


def _is_ours(block: Json) -> bool:
    if block["type"] == "redacted_thinking":
        return is_sealed(block["data"])
    return sign(block["thinking"]) == block.get("signature")


WIRE = ScriptedWire(
    name="anthropic-messages",
    path="/v1/messages",
    read=_read,
    complaint=_complaint,
    renderer=_Renderer,
    error=_error,
)
