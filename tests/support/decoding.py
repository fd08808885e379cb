"""Hearing a wire: frames as a provider sends them, and what a decoder makes of them, held against the grammar."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tailrace.adapters.base import DecodeContext
from tailrace.adapters.replay import decode_events
from tailrace.adapters.wires import WIRES
from tailrace.fold.grammar import Grammar
from tailrace.fold.reducer import Reducer
from tailrace.schema import codec
from tailrace.schema.events import ItemDelta, Payload, ProviderEvent, StepDone
from tailrace.schema.items import FunctionCallItem, OutputItem
from tailrace.schema.response import Response
from tailrace.wire import eventstream

CONTEXT = DecodeContext(provider_id="p", model_id="m")


def sse(*events: Any, done: bool = False) -> bytes:
    """Events as server-sent events; `done` adds the `[DONE]` of OpenAI's wires."""
    frames = [b"data: %s\n\n" % (event if isinstance(event, bytes) else codec.encode(event)) for event in events]
    return b"".join([*frames, b"data: [DONE]\n\n"] if done else frames)


def framed(wire: str, *events: Any, done: bool = False) -> bytes:
    """Events as the wire frames them."""
    if wire == "bedrock-converse":
        return b"".join(_message(event) for event in events)
    if wire == "ollama":
        return b"".join(b"%s\n" % (event if isinstance(event, bytes) else codec.encode(event)) for event in events)
    return sse(*events, done=done)


def _message(event: Any) -> bytes:
    """One of AWS's events, given as `{its name: payload}`; an error is an exception by its `code`."""
    if isinstance(event, bytes) or not isinstance(event, dict) or len(event) != 1:
        return eventstream.event("oddity", event if isinstance(event, bytes) else codec.encode(event))
    ((name, payload),) = event.items()
    if name == "error":
        return eventstream.exception(payload["code"], codec.encode({"message": payload["message"]}))
    return eventstream.event(name, codec.encode(payload))


@dataclass
class Heard:
    """What came of an answer: the run's events, and the Response that they fold to."""

    payloads: list[Payload]
    response: Response

    @property
    def items(self) -> list[OutputItem]:
        return self.response.output_items

    @property
    def calls(self) -> list[tuple[str, str, str]]:
        """The finished calls: name, arguments, call id."""
        return [(i.name, i.arguments, i.call_id) for i in self.items if isinstance(i, FunctionCallItem)]

    @property
    def types(self) -> list[str]:
        return [str(item.__struct_config__.tag) for item in self.items]

    @property
    def step_done(self) -> StepDone:
        return next(payload for payload in self.payloads if isinstance(payload, StepDone))

    def deltas(self, channel: str | None = None) -> list[str]:
        return [p.delta_content for p in self.payloads if isinstance(p, ItemDelta) and p.channel == channel]

    def events(self, name: str) -> list[Any]:
        """The data of the provider events of this name."""
        return [p.data for p in self.payloads if isinstance(p, ProviderEvent) and p.name == name]


def checked(payloads: Iterable[Payload]) -> Heard:
    """Folds events; each must be legal where it stands, and survive its own JSON."""
    grammar, reducer, kept = Grammar(), Reducer(), list(payloads)
    for seq, payload in enumerate(kept, 1):
        violation = grammar.accept(payload)
        assert violation is None, violation
        assert codec.decode_payload(codec.encode(payload)) == payload
        reducer.apply(seq, 0, payload)
    assert reducer.ignored == 0
    return Heard(kept, reducer.response())


def hear(
    wire: str, data: bytes | Any, *, whole: bool = False, chunk: int | None = None, context: DecodeContext = CONTEXT
) -> Heard:
    """What `wire`'s decoder makes of `data`: bytes of a stream, or a value as a whole body."""
    body = data if isinstance(data, bytes) else codec.encode(data)
    return checked(decode_events(WIRES[wire].decoder, body, whole=whole, chunk=chunk, context=context))


def _chunk(delta: Any, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "id": "chat_1",
        "model": "m-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **fields,
    }


def _response(*parts: Any, **fields: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    return {"responseId": "chat_1", "modelVersion": "m-1", "candidates": [candidate], **fields}


_TEXT, _THOUGHT, _ARGUMENTS = "It is caf\u00e9 \U0001f600 time.", "Look at the clock.", '{"zone":"Europe/Paris"}'
_USAGE = {"input_tokens": 20, "output_tokens": 9, "total_tokens": 29, "output_tokens_details": {"reasoning_tokens": 4}}
_CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "clock"}
_MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant"}
_REASONING = {"type": "reasoning", "id": "rs_1"}
_OUTPUT = [
    {**_REASONING, "summary": [{"type": "summary_text", "text": _THOUGHT}], "encrypted_content": "sealed"},
    {**_MESSAGE, "content": [{"type": "output_text", "text": _TEXT, "annotations": []}]},
    {**_CALL, "arguments": _ARGUMENTS},
]


def _line(done: bool = False, fields: Any = None, **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": "", **message}
    return {"model": "m-1", "created_at": "2026-11-28T13:30:00Z", "message": said, "done": done, **(fields or {})}


def _block(index: int, **delta: Any) -> dict[str, Any]:
    return {"contentBlockDelta": {"contentBlockIndex": index, "delta": delta, "p": "abc"}}


_OLLAMA_CALL = {"id": "call_1", "function": {"index": 0, "name": "clock", "arguments": {"zone": "Europe/Paris"}}}
_OLLAMA_END = {"done_reason": "stop", "total_duration": 3, "prompt_eval_count": 20, "eval_count": 9}

# On each wire the same answer, as its provider streams it: reasoning, text, a call. The last event is the terminal one.
ANSWERS: dict[str, list[dict[str, Any]]] = {
    "openai-responses": [
        {"type": "response.created", "response": {"id": "resp_1", "model": "m-1", "output": [], "usage": None}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**_REASONING, "summary": []}},
        *(
            {"type": "response.reasoning_summary_text.delta", "item_id": "rs_1", "summary_index": 0, "delta": piece}
            for piece in (_THOUGHT[:7], _THOUGHT[7:])
        ),
        {"type": "response.output_item.done", "output_index": 0, "item": _OUTPUT[0]},
        {"type": "response.output_item.added", "output_index": 1, "item": {**_MESSAGE, "content": []}},
        *(
            {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 1, "delta": piece}
            for piece in (_TEXT[:9], _TEXT[9:])
        ),
        {"type": "response.output_item.done", "output_index": 1, "item": _OUTPUT[1]},
        {"type": "response.output_item.added", "output_index": 2, "item": {**_CALL, "arguments": ""}},
        *(
            {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 2, "delta": piece}
            for piece in (_ARGUMENTS[:5], _ARGUMENTS[5:])
        ),
        {"type": "response.output_item.done", "output_index": 2, "item": _OUTPUT[2]},
        {
            "type": "response.completed",
            "response": {"id": "resp_1", "model": "m-1", "status": "completed", "output": _OUTPUT, "usage": _USAGE},
        },
    ],
    "anthropic-messages": [
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "model": "m-1",
                "content": [],
                "usage": {"input_tokens": 20, "output_tokens": 1},
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": piece}}
            for piece in (_THOUGHT[:7], _THOUGHT[7:])
        ),
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "sealed"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": piece}}
            for piece in (_TEXT[:9], _TEXT[9:])
        ),
        {"type": "content_block_stop", "index": 1},
        {
            "type": "content_block_start",
            "index": 2,
            "content_block": {"type": "tool_use", "id": "call_1", "name": "clock", "input": {}},
        },
        *(
            {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": piece}}
            for piece in (_ARGUMENTS[:5], _ARGUMENTS[5:])
        ),
        {"type": "content_block_stop", "index": 2},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ],
    "openai-chat-completions": [
        _chunk({"role": "assistant", "content": ""}),
        *(_chunk({"reasoning_content": piece}) for piece in (_THOUGHT[:7], _THOUGHT[7:])),
        *(_chunk({"content": piece}) for piece in (_TEXT[:9], _TEXT[9:])),
        _chunk({"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "clock", "arguments": ""}}]}),
        *(
            _chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
            for piece in (_ARGUMENTS[:5], _ARGUMENTS[5:])
        ),
        _chunk({}, "tool_calls", usage={"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29}),
    ],
    "google-gemini": [
        _response({"text": _THOUGHT[:7], "thought": True}),
        _response({"text": _THOUGHT[7:], "thought": True, "thoughtSignature": "sealed"}),
        *(_response({"text": piece}) for piece in (_TEXT[:9], _TEXT[9:])),
        _response({"functionCall": {"id": "call_1", "name": "clock", "args": {"zone": "Europe/Paris"}}}),
        {
            "responseId": "chat_1",
            "modelVersion": "m-1",
            "candidates": [{"content": {}, "index": 0, "finishReason": "STOP"}],
            "usageMetadata": {
                "promptTokenCount": 20,
                "candidatesTokenCount": 5,
                "thoughtsTokenCount": 4,
                "totalTokenCount": 29,
            },
        },
    ],
    "bedrock-converse": [
        {"messageStart": {"role": "assistant"}},
        *(_block(0, reasoningContent={"text": piece}) for piece in (_THOUGHT[:7], _THOUGHT[7:])),
        _block(0, reasoningContent={"signature": "sealed"}),
        {"contentBlockStop": {"contentBlockIndex": 0}},
        *(_block(1, text=piece) for piece in (_TEXT[:9], _TEXT[9:])),
        {"contentBlockStop": {"contentBlockIndex": 1}},
        {
            "contentBlockStart": {
                "contentBlockIndex": 2,
                "start": {"toolUse": {"toolUseId": "call_1", "name": "clock"}},
            }
        },
        *(_block(2, toolUse={"input": piece}) for piece in (_ARGUMENTS[:5], _ARGUMENTS[5:])),
        {"contentBlockStop": {"contentBlockIndex": 2}},
        {"messageStop": {"stopReason": "tool_use"}},
        {"metadata": {"usage": {"inputTokens": 20, "outputTokens": 9, "totalTokens": 29}, "metrics": {"latencyMs": 1}}},
    ],
    "ollama": [
        *(_line(thinking=piece) for piece in (_THOUGHT[:7], _THOUGHT[7:])),
        *(_line(content=piece) for piece in (_TEXT[:9], _TEXT[9:])),
        _line(tool_calls=[_OLLAMA_CALL]),
        _line(True, _OLLAMA_END),
    ],
}
# How many of its last events say that the answer has ended: the first of them is enough.
ENDS = {"bedrock-converse": 2}
# The wires on which a call comes in pieces, and those on which a provider signs what it thought.
PIECEMEAL = sorted(ANSWERS.keys() - {"google-gemini", "ollama"})
SEALED = sorted(ANSWERS.keys() - {"ollama", "openai-chat-completions"})

# The same answers, not streamed.
BODIES: dict[str, dict[str, Any]] = {
    "openai-responses": ANSWERS["openai-responses"][-1]["response"],
    "anthropic-messages": {
        "id": "msg_1",
        "model": "m-1",
        "type": "message",
        "content": [
            {"type": "thinking", "thinking": _THOUGHT, "signature": "sealed"},
            {"type": "text", "text": _TEXT},
            {"type": "tool_use", "id": "call_1", "name": "clock", "input": {"zone": "Europe/Paris"}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 20, "output_tokens": 9},
    },
    "openai-chat-completions": {
        "id": "chat_1",
        "model": "m-1",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "reasoning_content": _THOUGHT,
                    "content": _TEXT,
                    "tool_calls": [{"id": "call_1", "function": {"name": "clock", "arguments": _ARGUMENTS}}],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29},
    },
    "google-gemini": {
        **ANSWERS["google-gemini"][-1],
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": _THOUGHT, "thought": True, "thoughtSignature": "sealed"},
                        {"text": _TEXT},
                        {"functionCall": {"id": "call_1", "name": "clock", "args": {"zone": "Europe/Paris"}}},
                    ],
                },
                "finishReason": "STOP",
            }
        ],
    },
    "bedrock-converse": {
        "output": {
            "message": {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": _THOUGHT, "signature": "sealed"}}},
                    {"text": _TEXT},
                    {"toolUse": {"toolUseId": "call_1", "name": "clock", "input": {"zone": "Europe/Paris"}}},
                ],
            }
        },
        "stopReason": "tool_use",
        "usage": {"inputTokens": 20, "outputTokens": 9, "totalTokens": 29},
        "metrics": {"latencyMs": 1},
    },
    "ollama": _line(True, _OLLAMA_END, thinking=_THOUGHT, content=_TEXT, tool_calls=[_OLLAMA_CALL]),
}
