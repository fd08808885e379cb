"""Runs for property tests: legal sequences of payloads, made with the grammar's own idea of legal."""

from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from tailrace.schema.events import (
    ApprovalRequested,
    ApprovalResolved,
    ItemCancelled,
    ItemDelta,
    ItemDone,
    ItemError,
    ItemStart,
    Payload,
    ProviderEvent,
    ResponseDone,
    ResponseError,
    ResponseStart,
    StepDone,
    StepStart,
    TurnAborted,
    UsageUpdate,
)
from tailrace.schema.items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    MessageItem,
    OutputItem,
    ProviderItem,
    ReasoningItem,
    RefusalPart,
)
from tailrace.schema.response import ErrorInfo, Question, Usage

texts = st.text(max_size=12)
START = ResponseStart(response_id="r", turn_id="t", thread_id="th", model_id="m", provider_id="p", created_at=1)
MOVES = ("step", "start", "start", "delta", "delta", "delta", "end", "event", "usage", "person", "person")
KINDS = ("message", "reasoning", "function_call", "function_call_output", "provider_item")
CHANNELS = {"message": (None, None, "refusal", "annotation"), "provider_item": (None, "input", "output")}


def _start(draw: st.DrawFn, item_id: str, kind: str) -> ItemStart:
    match kind:
        case "function_call":
            return ItemStart(item_id=item_id, item_type="function_call", name="tool", call_id=f"call_{item_id}")
        case "function_call_output":
            return ItemStart(item_id=item_id, item_type="function_call_output", call_id=f"call_{item_id}")
        case "provider_item":
            return ItemStart(item_id=item_id, item_type="provider_item", provider_type="web_search_call")
        case "message":
            origin = draw(st.sampled_from(["user", "agent", None]))
            initial = draw(st.one_of(st.none(), texts))
            return ItemStart(item_id=item_id, item_type="message", origin=origin, initial_content=initial)
        case _:
            return ItemStart(item_id=item_id, item_type="reasoning")


def _final(draw: st.DrawFn, item_id: str, kind: str) -> OutputItem:
    text = draw(texts)
    match kind:
        case "function_call":
            return FunctionCallItem(id=item_id, name="tool", arguments=text, call_id=f"call_{item_id}")
        case "function_call_output":
            return FunctionCallOutputItem(
                id=item_id, call_id=f"call_{item_id}", output=text, success=draw(st.booleans())
            )
        case "provider_item":
            return ProviderItem(id=item_id, provider_type="web_search_call", data={"query": text})
        case "message":
            parts = draw(st.sampled_from([None, [RefusalPart(refusal=text)]]))
            return MessageItem(id=item_id, content=text, parts=parts)
        case _:
            return ReasoningItem(id=item_id, content=text)


@st.composite
def runs(draw: st.DrawFn, max_moves: int = 25) -> list[Payload]:
    """A legal run, ended by one of the three terminal events, or (one in four) cut off before it."""
    payloads: list[Payload] = [replace(START, after_run_id=draw(st.sampled_from([UNSET, None, "r0"])))]
    open_items: dict[str, str] = {}
    step, in_step, made = 0, False, 0
    for move in draw(st.lists(st.sampled_from(MOVES), max_size=max_moves)):
        if move == "step":
            step, in_step = _step(draw, payloads, step, in_step)
        elif move == "start":
            made += 1
            kind = draw(st.sampled_from(KINDS))
            open_items[f"i{made}"] = kind
            payloads.append(_start(draw, f"i{made}", kind))
        elif move in {"event", "usage"}:
            payloads.append(_fact(move, step))
        elif move == "person":
            payloads += _person(draw, payloads, made)
        elif open_items:
            item_id = draw(st.sampled_from(sorted(open_items)))
            if move == "delta":
                channel = draw(st.sampled_from(CHANNELS.get(open_items[item_id], (None,))))
                payloads.append(ItemDelta(item_id=item_id, delta_content=draw(texts), channel=channel))
            else:
                payloads.append(_end(draw, item_id, open_items.pop(item_id)))
    if draw(st.integers(0, 3)):
        payloads += [_end(draw, item_id, kind) for item_id, kind in open_items.items()]
        if in_step:
            payloads.append(StepDone(step=step, provider_id="p", model_id="m", finish_reason="stop"))
        payloads.append(draw(st.sampled_from(TERMINALS)))
    return payloads


def _fact(move: str, step: int) -> Payload:
    if move == "event":
        return ProviderEvent(provider_id="p", name="n", data={"a": [1]})
    return UsageUpdate(
        response_id="r", usage=Usage(prompt_tokens=step, completion_tokens=1, total_tokens=step + 1)
    )  # fmt: skip


def _person(draw: st.DrawFn, payloads: list[Payload], made: int) -> list[Payload]:
    """Somebody is asked about an item, or decides what they were asked."""
    asked = [payload.approval_id for payload in payloads if isinstance(payload, ApprovalRequested)]
    pending = sorted({*asked} - {each.approval_id for each in payloads if isinstance(each, ApprovalResolved)})
    if pending and draw(st.booleans()):
        decision = draw(st.sampled_from(["approved", "denied"]))
        content = draw(st.sampled_from([None, {"name": "Ada"}]))
        approval_id = draw(st.sampled_from(pending))
        return [ApprovalResolved(approval_id=approval_id, decision=decision, by="me", content=content)]
    if not made:
        return []
    item_id = f"i{draw(st.integers(1, made))}"
    question = draw(st.sampled_from([None, Question(message="why", schema={"type": "object"})]))
    return [
        ApprovalRequested(
            approval_id=f"a{len(asked)}", item_id=item_id, tool="tool", arguments="{}", reason="why", expires_at=9,
            question=question,
        )
    ]  # fmt: skip


TERMINALS: list[Payload] = [
    ResponseDone(response_id="r", status="complete", finish_reason="stop"),
    ResponseError(response_id="r", error=ErrorInfo(code="timeout", message="slow", retryable=True)),
    TurnAborted(turn_id="t", reason="enough"),
]


def _step(draw: st.DrawFn, payloads: list[Payload], step: int, in_step: bool) -> tuple[int, bool]:
    if in_step:
        reason = draw(st.sampled_from(["stop", "tool_calls", "length"]))
        usage = draw(st.sampled_from([None, Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)]))
        payloads.append(StepDone(step=step, provider_id="p", model_id="m", finish_reason=reason, usage=usage))
        return step, False
    clients = draw(st.sampled_from([None, [], ["tool"]]))
    purpose = draw(st.sampled_from([None, None, "compaction"]))
    start = StepStart(step=step + 1, provider_id="p", model_id="m", client_tools=clients, purpose=purpose)
    payloads.append(start)
    return step + 1, True


def _end(draw: st.DrawFn, item_id: str, kind: str) -> Payload:
    match draw(st.sampled_from(["done", "done", "error", "cancelled"])):
        case "done":
            return ItemDone(item_id=item_id, final_item=_final(draw, item_id, kind))
        case "error":
            return ItemError(item_id=item_id, error=ErrorInfo(code="internal", message="x", details={"why": 1}))
        case _:
            return ItemCancelled(item_id=item_id, reason="enough")
