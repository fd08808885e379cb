"""How a run ends, and how calls are answered that nothing was run for: no item stays open, no call dangles."""

from itertools import chain, count

from tailrace.runs.writer import RunWriter, whole
from tailrace.schema.events import Payload, ProviderEvent, ResponseDone, ResponseError, TraceContext, TurnAborted
from tailrace.schema.items import FunctionCallOutputItem
from tailrace.schema.response import ErrorInfo, FinishReason


def answer(writer: RunWriter, call_id: str, output: str, *, success: bool, origin: str = "system") -> list[Payload]:
    """The events of a call's output."""
    item = FunctionCallOutputItem(
        id=output_id(writer, call_id), call_id=call_id, output=output, success=success,
        origin="user" if origin == "user" else "system",
    )  # fmt: skip
    return whole(item)


def output_id(writer: RunWriter, call_id: str) -> str:
    """The id of a call's next output. Some providers use a call's id again in a later step; an item's is used once."""
    names = chain([f"output_{call_id}"], (f"output_{call_id}_{number}" for number in count(2)))
    return next(name for name in names if writer.grammar.item_state(name) == "new")


async def finish(writer: RunWriter, reason: FinishReason, trace: TraceContext, limit: str | None = None) -> None:
    """End the run as meant. `limit`: the one that was reached, where that is why; what is open is cancelled then."""
    payloads: list[Payload] = []
    if limit is not None:
        because = f"the run has reached its limit of {limit}"
        told = ProviderEvent(provider_id="tailrace", name="limit", data={"limit": limit})
        payloads = [told, *writer.closing("cancelled", because), *_unanswered(writer, because)]
    state = writer.state.response()
    done = ResponseDone(response_id=state.id, status="complete", finish_reason=reason, usage=state.usage)
    await writer.append([*payloads, done], trace)


async def fail(writer: RunWriter, error: ErrorInfo, trace: TraceContext) -> None:
    """End the run with an error: open items fail where they stand, calls are answered, one terminal event."""
    payloads = [*writer.closing("error", error), *_unanswered(writer, error.message)]
    response_id = writer.state.response().id
    await writer.append([*payloads, ResponseError(response_id=response_id, error=error)], trace)


async def abort(writer: RunWriter, reason: str, trace: TraceContext) -> None:
    """End the run because somebody called it off: open items are cancelled where they stand, one terminal event."""
    payloads = [*writer.closing("cancelled", reason), *_unanswered(writer, reason)]
    turn_id = writer.state.response().turn_id
    await writer.append([*payloads, TurnAborted(turn_id=turn_id, reason=reason)], trace)


def _unanswered(writer: RunWriter, reason: str) -> list[Payload]:
    """No call dangles: each that has no output gets one that says why. What was begun may have had its effect."""
    state = writer.state
    texts = {
        call.call_id: f"stopped: {reason}; what it has done until then is done" if state.attempts(call)
        else f"not executed: {reason}"
        for call in state.unanswered
    }  # fmt: skip
    return [event for call_id, text in texts.items() for event in answer(writer, call_id, text, success=False)]
