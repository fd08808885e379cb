"""What a chat client makes of a stream: chunks added up as the vendor's clients add them."""

from collections.abc import Iterable
from typing import Any, Literal

from tailrace.dialects.base import FULL, View
from tailrace.dialects.chat.encode import CHAT
from tailrace.dialects.chat.whole import whole
from tailrace.fold.reducer import Reducer
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.events import (
    ItemDelta,
    ItemDone,
    ItemStart,
    Payload,
    ProviderEvent,
    ResponseDone,
    ResponseStart,
    StepDone,
    StepStart,
    TraceContext,
)
from tailrace.schema.items import FunctionCallItem, MessageItem, OutputItem
from tailrace.schema.request import Generation, RunRequest
from tailrace.schema.response import Usage

TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
START = ResponseStart(
    response_id="chatcmpl-1", turn_id="t", thread_id="th", model_id="m", provider_id="p", created_at=5_000
)
STEP = StepStart(step=1, provider_id="p", model_id="m")


def asked(**echo: Any) -> ProviderEvent:
    """The log's second event."""
    data = {"protocol": "chat", "asked": {"model": "p/m", "include_usage": False, **echo}}
    return ProviderEvent(provider_id="tailrace", name="asked", data=data)


def chunks(payloads: list[Payload], view: View = FULL, sizes: Iterable[int] = ()) -> list[Any]:
    """The chunks of these events, appended in batches of these sizes (then one by one)."""
    encoder, made, seq = CHAT.encoder(view), [], 1
    sizes = iter(sizes)
    while payloads:
        size = next(sizes, 1)
        batch = Batch("r", seq, 5_000, TRACE, payloads=payloads[:size])
        payloads, seq = payloads[size:], batch.last_seq + 1
        made += [codec.decode_any(frame.data) for frame in encoder.encode(batch)]
    return made


def folded(received: Iterable[Any]) -> dict[str, Any]:
    """The completion that chunks add up to: strings are appended, entries with an index merged, the rest is set."""
    completion: dict[str, Any] = {}
    choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": None}
    message: dict[str, Any] = {"content": None, "refusal": None}
    for chunk in received:
        completion.update({name: chunk[name] for name in ("id", "created", "model")})
        if chunk.get("usage") is not None:
            completion["usage"] = chunk["usage"]
        for each in chunk["choices"]:
            _merge(message, each["delta"])
            if each["logprobs"]:
                choice["logprobs"] = choice["logprobs"] or {"content": [], "refusal": None}
                choice["logprobs"]["content"] += each["logprobs"]["content"]
            choice["finish_reason"] = each["finish_reason"] or choice["finish_reason"]
    for call in message.get("tool_calls", ()):
        del call["index"]
    return {**completion, "object": "chat.completion", "choices": [{**choice, "message": message}]}


def _merge(into: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        known = into.get(name)
        if known is None:
            into[name] = value
        elif isinstance(value, dict):
            _merge(known, value)
        elif name == "tool_calls":
            for entry in value:
                at = next((one for one in known if one["index"] == entry["index"]), None)
                if at is None:
                    known.append(entry)
                else:
                    _merge(at, {key: part for key, part in entry.items() if key != "index"})
        else:
            into[name] = known + value


def completion(payloads: list[Payload], given: list[OutputItem] | None = None) -> Any:
    """The answer to a request that does not stream, of the same run."""
    state = Reducer()
    for seq, payload in enumerate(payloads, 1):
        state.apply(seq, 5_000, payload)
    echo = next((p.data["asked"] for p in payloads if isinstance(p, ProviderEvent) and p.name == "asked"), None)
    request = RunRequest(
        run_id="chatcmpl-1", turn_id="t", thread_id="th", provider_id="p", model_id="m", input=given or [],
        generation=Generation(), protocol="chat", asked=echo,
    )  # fmt: skip
    return codec.decode_any(whole(state.response(), request))


# --- runs, in short ------------------------------------------------------------------------------------------------


def done(reason: Any = "stop", usage: Usage | None = None) -> list[Payload]:
    step = StepDone(step=1, provider_id="p", model_id="m", finish_reason=reason, usage=usage)
    return [step, ResponseDone(response_id="chatcmpl-1", status="complete", finish_reason=reason, usage=usage)]


def run(*events: Payload, reason: Any = "stop", usage: Usage | None = None, **echo: Any) -> list[Payload]:
    return [START, asked(**echo), STEP, *events, *done(reason, usage)]


def text(*pieces: str, item_id: str = "msg") -> list[Payload]:
    final = MessageItem(id=item_id, content="".join(pieces))
    return [
        ItemStart(item_id=item_id, item_type="message"),
        *(ItemDelta(item_id=item_id, delta_content=piece) for piece in pieces),
        ItemDone(item_id=item_id, final_item=final),
    ]


def call(
    *pieces: str,
    item_id: str = "fc",
    name: str = "look",
    final: str | None = None,
    kind: Literal["custom"] | None = None,
) -> list[Payload]:
    arguments = "".join(pieces) if final is None else final
    item = FunctionCallItem(id=item_id, name=name, arguments=arguments, call_id=f"call_{item_id}", kind=kind)
    return [
        ItemStart(item_id=item_id, item_type="function_call", name=name, call_id=f"call_{item_id}", kind=kind),
        *(ItemDelta(item_id=item_id, delta_content=piece) for piece in pieces),
        ItemDone(item_id=item_id, final_item=item),
    ]


def deltas(payloads: list[Payload], **how: Any) -> list[Any]:
    return [choice["delta"] for chunk in chunks(payloads, **how) for choice in chunk["choices"]]


def message_of(payloads: list[Payload]) -> Any:
    """The message as the stream adds up to it, and it is the same as the whole."""
    streamed = folded(chunks(payloads))
    assert streamed == completion(payloads)
    return streamed["choices"][0]["message"]


def reason_of(payloads: list[Payload]) -> Any:
    streamed = folded(chunks(payloads))
    assert streamed == completion(payloads)
    return streamed["choices"][0]["finish_reason"]
