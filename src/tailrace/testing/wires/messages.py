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
    seal,
    sign,
    text_of,
)
from tailrace.testing.wires.messages_rules import blocks, check
from tailrace.testing.wires.plan import Block, Plan
from tailrace.testing.wires.rules import complaint

_STOP = {"stop": "end_turn", "length": "max_tokens", "refusal": "refusal", "tool_calls": "tool_use"}

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


def _read(body: Json) -> Asked:
    messages = body.get("messages") or []
    said = (message for message in messages if message["role"] == "user" and not blocks(message, "tool_result"))
    results = blocks(messages[-1], "tool_result") if messages else []
    return Asked(
        wire=WIRE.name,
        model=body["model"],
        stream=bool(body.get("stream")),
        user_texts=tuple(text_of(message.get("content")) for message in said),
        tools=tuple(OfferedTool(tool["name"], tool.get("input_schema") or {}) for tool in body.get("tools") or ()),
        outputs=tuple(text_of(result.get("content")) for result in results),
        body=body,
    )


WIRE = ScriptedWire(
    name="anthropic-messages",
    path="/v1/messages",
    read=_read,
    complaint=complaint(check),
    renderer=_Renderer,
    error=_error,
)
