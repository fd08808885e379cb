"""Drives one run: asks `step` what to do next and does it, until the run ends or waits for its client."""

from dataclasses import dataclass
from itertools import chain, count

from msgspec.structs import replace

from tailrace.adapters.tools import unforced
from tailrace.runs.history import conversation
from tailrace.runs.model_call import ModelCaller
from tailrace.runs.recovery import Tries
from tailrace.runs.step import LOST, Abandon, AwaitOutputs, CallModel, Decline, Finish, Policy, decide
from tailrace.runs.tracing import Tracing
from tailrace.runs.writer import RunWriter, whole
from tailrace.schema.errors import InvalidRequest, ProviderError
from tailrace.schema.events import (
    Payload,
    ProviderEvent,
    ResponseDone,
    ResponseError,
    ResponseStart,
    StepStart,
    TraceContext,
    TurnAborted,
)
from tailrace.schema.items import FunctionCallOutputItem, OutputItem
from tailrace.schema.request import Generation, ModelRequest, Protocol, RunRequest
from tailrace.schema.response import ErrorInfo, FinishReason, Response
from tailrace.store.base import Store
from tailrace.upstream.registry import Registry

# Protocols that show each item's end; in the others, what is said anew would stand behind what was cancelled.
_ITEMISED: frozenset[Protocol] = frozenset({"native", "responses"})


@dataclass(frozen=True, slots=True)
class Driver:
    """Carries out commands. It keeps nothing of a run: all state is in the log."""

    caller: ModelCaller
    registry: Registry
    store: Store
    tracing: Tracing
    policy: Policy

    async def drive(self, run: RunRequest, writer: RunWriter, trace: TraceContext) -> None:
        """Go on until the run has ended, or waits for `POST …/outputs`. Raises LogError where another has taken it.

        `trace` is the parent of the steps' spans. What a provider does wrong ends the run as an event.
        """
        tries = Tries(is_itemised=run.protocol in _ITEMISED)
        while True:
            match decide(writer.state, self.policy, run.on_calls):
                case CallModel(step):
                    if not await self._step(run, writer, step, trace, tries):
                        return
                case Decline(calls, reason):
                    for call in calls:
                        await writer.append(answer(writer, call.call_id, reason, success=False), trace)
                case AwaitOutputs():
                    return
                case Finish(reason):
                    await writer.append([_done(writer, reason)], trace)
                    return
                case Abandon(takeovers):
                    await fail(writer, _abandoned(takeovers), trace)
                    return

    async def _step(self, run: RunRequest, writer: RunWriter, step: int, trace: TraceContext, tries: Tries) -> bool:
        """Carry out a model call; False where it ended the run."""
        try:
            with self.tracing.span("step", trace, step=step, provider=run.provider_id, model=run.model_id) as span:
                start = StepStart(step=step, provider_id=run.provider_id, model_id=run.model_id)
                await writer.append([start], span)
                provider, _ = self.registry.resolve(run.model_id, run.provider_id)
                await self.caller.prewarm(provider, _request(run, writer, []), writer, span)
                request = _request(run, writer, conversation(await self._earlier(run), writer.state.response()))
                await self.caller.call(provider, request, step, writer, span, tries)
        except ProviderError as error:
            await fail(writer, error.info(), trace)
            return False
        except InvalidRequest as error:  # the settings no longer know the model
            await fail(writer, ErrorInfo(code="invalid_request", message=error.message, details=error.details), trace)
            return False
        return True

    async def _earlier(self, run: RunRequest) -> list[Response]:
        """The runs that this one goes on from: those that led to the one it names, else its thread's."""
        if run.previous_run_id is not None:
            return await self.store.chain(run.previous_run_id)
        if run.opens_thread:
            return []
        return [past for past in await self.store.thread_runs(run.thread_id) if past.id != run.run_id]


def _request(run: RunRequest, writer: RunWriter, items: list[OutputItem]) -> ModelRequest:
    return ModelRequest(
        provider_id=run.provider_id,
        model_id=run.model_id,
        items=items,
        generation=_generation(run, writer),
        thread_id=run.thread_id,
    )


def _generation(run: RunRequest, writer: RunWriter) -> Generation:
    """A tool that the model is made to call is called in the first step; forced in each, the run would never end."""
    generation = run.generation
    if len(writer.state.steps) > 1:
        generation = replace(generation, tool_choice=unforced(generation.tool_choice))
    return generation


def opening(run: RunRequest, created_at: int) -> list[Payload]:
    """A run's first events: that it exists, what its protocol repeats of the request, and what its user said.

    Every dialect's frames are a function of the log alone (contract §4), so what a protocol repeats stands in it.
    """
    start = ResponseStart(
        response_id=run.run_id, turn_id=run.turn_id, thread_id=run.thread_id, agent_id=run.agent_id,
        model_id=run.model_id, provider_id=run.provider_id, created_at=created_at,
    )  # fmt: skip
    asked: list[Payload] = []
    if run.asked is not None:
        data = {"protocol": run.protocol, "asked": run.asked}
        asked = [ProviderEvent(provider_id="tailrace", name="asked", data=data)]
    return [start, *asked, *(event for item in run.input for event in whole(item))]


def takeover(writer: RunWriter) -> list[Payload]:
    """What another worker's loss left half-made is cancelled where it stands; its step ends as LOST.

    The event that says so comes first, so that whoever reads the log sees why. Nothing where nothing was half-made.
    """
    closing = writer.closing(LOST, "the worker that made this was lost")
    if not closing:
        return []
    return [ProviderEvent(provider_id="tailrace", name="takeover", data={"epoch": writer.epoch}), *closing]


def answer(writer: RunWriter, call_id: str, output: str, *, success: bool, origin: str = "system") -> list[Payload]:
    """The events of a call's output."""
    item = FunctionCallOutputItem(
        id=_output_id(writer, call_id), call_id=call_id, output=output, success=success,
        origin="user" if origin == "user" else "system",
    )  # fmt: skip
    return whole(item)


def _output_id(writer: RunWriter, call_id: str) -> str:
    """Some providers use a call's id again in a later step; an item's id is used once."""
    names = chain([f"output_{call_id}"], (f"output_{call_id}_{number}" for number in count(2)))
    return next(name for name in names if writer.grammar.item_state(name) == "new")


def _done(writer: RunWriter, reason: FinishReason) -> ResponseDone:
    state = writer.state.response()
    return ResponseDone(response_id=state.id, status="complete", finish_reason=reason, usage=state.usage)


def _abandoned(takeovers: int) -> ErrorInfo:
    return ErrorInfo(
        code="interrupted", message=f"{takeovers} workers were lost over this run; submit it again", retryable=True
    )


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
    """No call dangles: each that has no output gets one that says why."""
    return [
        event
        for call in writer.state.unanswered
        for event in answer(writer, call.call_id, f"not executed: {reason}", success=False)
    ]
