"""Ollama's native chat, scripted. Shapes: https://docs.ollama.com/api/chat.

The vendor passes over what it does not know; this one refuses it, and answers that belong to no call as well.
"""

from base64 import b64decode
from typing import Any

from tailrace.schema import codec
from tailrace.testing.moves import Fail
from tailrace.testing.wires.base import Asked, Json, Memory, OfferedTool, ScriptedWire, Ticket
from tailrace.testing.wires.plan import Block, Plan

_DONE = {"refusal": "stop", "tool_calls": "stop"}
_FIELD = {"reasoning": "thinking", "text": "content", "refusal": "content"}
_REQUEST = frozenset({
    "model", "messages", "stream", "tools", "think", "format", "options", "keep_alive", "logprobs", "top_logprobs",
})  # fmt: skip
_OPTIONS = frozenset({
    "num_predict", "temperature", "top_p", "top_k", "min_p", "stop", "seed", "frequency_penalty", "presence_penalty",
    "repeat_penalty", "num_ctx",
})  # fmt: skip
_MESSAGE = frozenset({"role", "content", "thinking", "images", "tool_calls", "tool_name", "tool_call_id"})
_ROLES = frozenset({"system", "user", "assistant", "tool"})
_LEVELS = (True, False, "low", "medium", "high", "max")


class _Renderer:
    keep_alive = b""  # the vendor has none

    def __init__(self, plan: Plan, ticket: Ticket, body: Json, memory: Memory) -> None:
        self._plan = plan
        self._ticket = ticket
        self._model = body["model"]

    def start(self) -> bytes:
        return b""

    def opened(self, block: Block) -> bytes:
        return b""

    def grew(self, block: Block, piece: str) -> bytes:
        return b"" if block.kind == "call" or block.redacted else self._line({_FIELD[block.kind]: piece})

    def closed(self, block: Block) -> bytes:
        """A call comes whole."""
        return self._line({"tool_calls": [self._call(block)]}) if block.kind == "call" else b""

    def failed(self, fail: Fail) -> bytes:
        return codec.encode(_error(500, fail.message)) + b"\n"

    def end(self) -> bytes:
        return codec.encode(self._last({})) + b"\n"

    def whole(self) -> Json:
        message: Json = {}
        for block in self._plan.blocks:
            if block.kind == "call":
                message.setdefault("tool_calls", []).append(self._call(block))
            elif not block.redacted:
                message[_FIELD[block.kind]] = message.get(_FIELD[block.kind], "") + block.text
        return self._last(message)

    def _line(self, message: Json) -> bytes:
        return codec.encode({**self._head(message), "done": False}) + b"\n"

    def _head(self, message: Json) -> Json:
        said = {"role": "assistant", "content": "", **message}
        return {"model": self._model, "created_at": f"2026-11-28T13:30:{self._ticket.number % 60:02}Z", "message": said}

    def _last(self, message: Json) -> Json:
        spent = self._plan.spent
        return {
            **self._head(message),
            "done": True,
            "done_reason": _DONE.get(self._plan.finish, self._plan.finish),
            "total_duration": 7_000_000,
            "prompt_eval_count": spent.prompt,
            "eval_count": spent.completion,
        }

    def _call(self, block: Block) -> Json:
        arguments = codec.decode_any(block.text) if block.text else {}
        call_id = block.call_id or self._ticket.id("call_", block.index)
        return {"id": call_id, "function": {"index": block.index, "name": block.name, "arguments": arguments}}


def _error(status: int, message: str) -> Json:
    return {"error": message}


def _read(body: Json) -> Asked:
    messages = body.get("messages") or []
    outputs: list[str] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        outputs.insert(0, message.get("content") or "")
    tools = (tool["function"] for tool in body.get("tools") or ())
    return Asked(
        wire=WIRE.name,
        model=body["model"],
        stream=bool(body.get("stream", True)),
        user_texts=tuple(message.get("content") or "" for message in messages if message["role"] == "user"),
        tools=tuple(OfferedTool(tool["name"], tool.get("parameters") or {}) for tool in tools),
        outputs=tuple(outputs),
        body=body,
    )


def _complaint(body: Json, memory: Memory) -> str | None:
    unknown = body.keys() - _REQUEST or body.get("options", {}).keys() - _OPTIONS
    if unknown:
        return f"unknown field {', '.join(sorted(unknown))}"
    if body.get("think", True) not in _LEVELS:
        return f"invalid think value: {body['think']!r} (must be one of {_LEVELS})"
    if not isinstance(body.get("format", {}), dict) and body["format"] != "json":
        return "invalid format: expected json or a JSON schema"
    messages: list[dict[str, Any]] = body.get("messages") or []
    if not messages:
        return "messages: there are none"
    return next((bad for message in messages if (bad := _bad_message(message))), None) or _unpaired(messages)


def _bad_message(message: Json) -> str | None:
    if message.keys() - _MESSAGE or message.get("role") not in _ROLES or not isinstance(message.get("content"), str):
        return "a message has a role, a content that is a text, and no other fields than are known"
    for image in message.get("images", ()):
        try:
            b64decode(image, validate=True)
        except ValueError:
            return "illegal base64 data in an image"
    for call in message.get("tool_calls", ()):
        if not isinstance(call["function"].get("arguments"), dict):
            return "the arguments of a tool call must be an object"
    return None


def _unpaired(messages: list[dict[str, Any]]) -> str | None:
    waiting: dict[str, str] = {}
    for message in messages:
        if message["role"] == "tool":
            if waiting.pop(message.get("tool_call_id", ""), None) != message.get("tool_name"):
                return "a message with role 'tool' must answer a tool call of the message before"
        elif waiting:
            break
        else:
            waiting = {call["id"]: call["function"]["name"] for call in message.get("tool_calls", ())}
    return f"no answer to the tool calls {', '.join(waiting)}" if waiting else None


WIRE = ScriptedWire(
    name="ollama",
    path="/api/chat",
    read=_read,
    complaint=_complaint,
    renderer=_Renderer,
    error=_error,
    content_type="application/x-ndjson",
)
