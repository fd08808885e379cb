"""OpenAI Chat Completions, scripted. Shapes: https://platform.openai.com/docs/api-reference/chat-streaming.

Reasoning travels as `reasoning_content`, as DeepSeek and many compatible servers send it.
"""

from tailrace.schema import codec
from tailrace.testing.moves import Fail
from tailrace.testing.wires import openai_errors
from tailrace.testing.wires.base import Asked, Json, Memory, OfferedTool, ScriptedWire, Ticket, text_of
from tailrace.testing.wires.chat_rules import check
from tailrace.testing.wires.plan import Block, Plan
from tailrace.testing.wires.rules import complaint

_FINISH = {"refusal": "stop"}
_FIELD = {"reasoning": "reasoning_content", "text": "content", "refusal": "refusal"}


class _Renderer:
    keep_alive = b": keep-alive\n\n"

    def __init__(self, plan: Plan, ticket: Ticket, body: Json, memory: Memory) -> None:
        self._plan = plan
        self._ticket = ticket
        self._model = body["model"]
        self._tier = body.get("service_tier", "default")
        self._with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        self._calls = [block for block in plan.blocks if block.kind == "call"]

    def start(self) -> bytes:
        return self._chunk({"role": "assistant", "content": None if self._calls else "", "refusal": None})

    def opened(self, block: Block) -> bytes:
        return self._chunk({"tool_calls": [self._call(block, "")]}) if block.kind == "call" else b""

    def grew(self, block: Block, piece: str) -> bytes:
        if block.kind == "call":
            return self._chunk({"tool_calls": [{"index": self._at(block), "function": {"arguments": piece}}]})
        return b"" if block.redacted else self._chunk({_FIELD[block.kind]: piece})

    def closed(self, block: Block) -> bytes:
        return b""

    def failed(self, fail: Fail) -> bytes:
        return _frame({"error": openai_errors.in_stream(fail)})

    def end(self) -> bytes:
        last = self._chunk({}, finish=self._finish())
        if self._with_usage:
            last += _frame({**self._head("chat.completion.chunk"), "choices": [], "usage": self._usage()})
        return last + b"data: [DONE]\n\n"

    def whole(self) -> Json:
        message: Json = {"role": "assistant", "content": None, "refusal": None}
        for block in self._plan.blocks:
            if block.kind != "call" and not block.redacted:
                message[_FIELD[block.kind]] = (message.get(_FIELD[block.kind]) or "") + block.text
        if self._calls:
            calls = [self._call(block, block.text) for block in self._calls]
            message["tool_calls"] = [{name: call[name] for name in call if name != "index"} for call in calls]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish()}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self._usage()}

    def _finish(self) -> str:
        return _FINISH.get(self._plan.finish, self._plan.finish)

    def _head(self, kind: str) -> Json:
        return {
            "id": self._ticket.id("chatcmpl-"),
            "object": kind,
            "created": self._ticket.created,
            "model": self._model,
            "service_tier": self._tier,
            "system_fingerprint": None,
        }

    def _chunk(self, delta: Json, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        usage = {"usage": None} if self._with_usage else {}
        return _frame({**self._head("chat.completion.chunk"), "choices": [choice], **usage})

    def _at(self, block: Block) -> int:
        return next(at for at, call in enumerate(self._calls) if call is block)

    def _call(self, block: Block, arguments: str) -> Json:
        call_id = block.call_id or self._ticket.id("call_", block.index)
        function = {"name": block.name, "arguments": arguments}
        return {"index": self._at(block), "id": call_id, "type": "function", "function": function}

    def _usage(self) -> Json:
        spent = self._plan.spent
        return {
            "prompt_tokens": spent.prompt,
            "completion_tokens": spent.completion,
            "total_tokens": spent.prompt + spent.completion,
            "prompt_tokens_details": {"cached_tokens": spent.cached},
            "completion_tokens_details": {"reasoning_tokens": spent.reasoning},
            **({} if spent.cost is None else {"cost": spent.cost}),
        }


def _frame(data: Json) -> bytes:
    return b"data: %s\n\n" % codec.encode(data)


def _read(body: Json) -> Asked:
    messages = body.get("messages") or []
    outputs: list[str] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        outputs.insert(0, text_of(message.get("content")))
    tools = (tool["function"] for tool in body.get("tools") or () if tool.get("type") == "function")
    return Asked(
        wire=WIRE.name,
        model=body["model"],
        stream=bool(body.get("stream")),
        user_texts=tuple(text_of(message.get("content")) for message in messages if message["role"] == "user"),
        tools=tuple(OfferedTool(tool["name"], tool.get("parameters") or {}) for tool in tools),
        outputs=tuple(outputs),
        body=body,
    )


WIRE = ScriptedWire(
    name="openai-chat-completions",
    path="/v1/chat/completions",
    read=_read,
    complaint=complaint(check),
    renderer=_Renderer,
    error=openai_errors.over_http,
)
