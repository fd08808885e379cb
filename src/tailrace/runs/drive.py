"""Drives one run: asks `step` what to do next and does it, until the run ends or waits for its client."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import NamedTuple

import structlog
from msgspec.structs import replace

from tailrace.adapters.tools import unforced
from tailrace.log.base import Log, pages
from tailrace.log.work import Kind
from tailrace.runs.agents import Agents, client_tools
from tailrace.runs.answers import Answers, is_answer, withdrawn
from tailrace.runs.branches import branch
from tailrace.runs.compactor import Compactor
from tailrace.runs.endings import answer, fail, finish
from tailrace.runs.history import conversation
from tailrace.runs.model_call import ModelCaller
from tailrace.runs.recovery import Tries
from tailrace.runs.step import (
    LOST,
    Abandon,
    AskApproval,
    CallModel,
    Command,
    Decline,
    Finish,
    RunTools,
    Wait,
    decide,
)
from tailrace.runs.tracing import Tracing
from tailrace.runs.writer import RunWriter, whole
from tailrace.schema.errors import Fault, InvalidRequest, NotReady, ProviderError
from tailrace.schema.events import (
    ApprovalRequested,
    Payload,
    ProviderEvent,
    ResponseStart,
    StepStart,
    TraceContext,
)
from tailrace.schema.items import FunctionCallItem, MessageItem, OutputItem
from tailrace.schema.request import Generation, ModelRequest, Protocol, RunRequest
from tailrace.schema.response import ErrorInfo, Response
from tailrace.store.base import Store
from tailrace.upstream.registry import Provider, Registry

logger = structlog.get_logger()

# Protocols that show each item's end; in the others, what is said anew would stand behind what was cancelled.
_ITEMISED: frozenset[Protocol] = frozenset({"native", "responses"})


class History(NamedTuple):
    """The runs of a conversation, the one at hand the last, and its items as a model is given them."""

    runs: list[Response]
    items: list[OutputItem]


PASSED_ON = "passed_on"  # the event that says which kind of worker goes on
PassOn = Callable[[Kind, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Driver:
    """Carries out commands. It keeps nothing of a run: all state is in the log.

    `does`: what this process does itself, call models (`run`), run tools (`tool`); `pass_on` has the rest done.
    `now` gives milliseconds since the epoch.
    """

    caller: ModelCaller
    registry: Registry
    store: Store
    tracing: Tracing
    agents: Agents
    now: Callable[[], int]
    does: frozenset[Kind] = frozenset({"run", "tool"})
    pass_on: PassOn | None = None

    async def drive(self, run: RunRequest, writer: RunWriter, trace: TraceContext) -> None:
        """Go on until the run has ended, or waits for its client. Raises LogError where another has taken it.

        `trace` is the parent of the steps' spans. What a provider does wrong ends the run as an event.
        """
        tries = Tries(is_itemised=run.protocol in _ITEMISED)
        policy, rules = self.agents.policy(run), partial(self.agents.rule, run)
        while True:
            command = decide(writer.state, policy, run.on_calls, rules)
            if _may_hear(command) and await self._deliver(run, writer, trace):
                continue
            kind: Kind = "tool" if isinstance(command, RunTools) else "run"
            if kind not in self.does and self.pass_on is not None:
                told = ProviderEvent(provider_id="tailrace", name=PASSED_ON, data={"to": kind})
                await writer.append([told], trace)
                await self.pass_on(kind, run.run_id)
                return
            if isinstance(command, CallModel):
                goes_on = await self._step(run, writer, command.step, trace, tries)
            elif isinstance(command, RunTools):
                await self._run_tools(run, command.calls, writer, trace)
                goes_on = True
            else:
                goes_on = await self._settle(run, command, writer, trace)
            if not goes_on:
                return

    async def _settle(
        self, run: RunRequest, command: Wait | AskApproval | Decline | Finish | Abandon, writer: RunWriter,
        trace: TraceContext,
    ) -> bool:  # fmt: skip
        """Carry out what takes an append at most; False where the run waits or has ended."""
        match command:
            case Decline(calls):
                refused = [answer(writer, call.call_id, text, success=False) for call, text in calls]
                await writer.append(list(chain.from_iterable(refused)), trace)
                return True
            case AskApproval(calls):
                await writer.append([self._question(run, call, why) for call, why in calls], trace)
                return True
            case Wait():
                return False
            case Finish(reason, limit):
                await finish(writer, reason, trace, limit)
            case Abandon(takeovers):
                await fail(writer, _abandoned(takeovers), trace)
        return False

    async def _deliver(self, run: RunRequest, writer: RunWriter, trace: TraceContext) -> bool:
        """Put into the log what was said to the run meanwhile; was there anything? The log knows what it has.

        A run does not wait for a store that is away: what it has not heard then is told the next time, or its receipt
        says that it never was.
        """
        if run.protocol != "native":
            return False
        try:
            inputs = await self.store.inputs(run.run_id)
        except NotReady as error:
            logger.warning("inputs not looked for", run_id=run.run_id, error=error.message)
            return False
        if not inputs:
            return False
        said = [
            MessageItem(id=each.item_id, content=each.text, origin="user")
            for each in inputs
            if not is_answer(each) and writer.grammar.item_state(each.item_id) == "new"
        ]
        await writer.append([event for item in said for event in whole(item)], trace)
        return bool(said)

    async def _run_tools(
        self, run: RunRequest, calls: Sequence[FunctionCallItem], writer: RunWriter, trace: TraceContext
    ) -> None:
        from tailrace.runs.tool_calls import ToolCaller  # what tools stand on is only for those who have agents

        agent = self.agents.of(run)
        if agent is not None:  # without one, `decide` has none run
            await ToolCaller(self.tracing, Answers(self.store), self.now).call(agent, calls, writer, trace)

    def _question(self, run: RunRequest, call: FunctionCallItem, why: str) -> ApprovalRequested:
        agent = self.agents.of(run)
        patience_s = agent.approval_s if agent is not None else 0.0
        return ApprovalRequested(
            approval_id=f"approval_{call.id}", item_id=call.id, tool=call.name, arguments=call.arguments, reason=why,
            expires_at=self.now() + int(patience_s * 1000),
        )  # fmt: skip

    async def _step(self, run: RunRequest, writer: RunWriter, step: int, trace: TraceContext, tries: Tries) -> bool:
        """Carry out a model call, or the summary that is due before it; False where it ended the run."""
        await self.agents.ready(run)
        try:
            provider, _ = self.registry.resolve(run.model_id, run.provider_id)
            history = await self._history(run, writer) if self._watches(run, provider) else None
            if history is not None and await self._make_room(run, writer, provider, history, trace):
                return True
            begun = writer.grammar.item_count
            try:
                await self._call(run, writer, provider, step, history, trace, tries)
            except ProviderError as error:
                if Fault.CONTEXT_OVERFLOW not in error.faults or begun != writer.grammar.item_count:
                    raise
                history = history or await self._history(run, writer)
                if not await self._make_room(run, writer, provider, history, trace, error):
                    raise
                tries.forget()
        except ProviderError as error:
            await fail(writer, error.info(), trace)
            return False
        except InvalidRequest as error:  # the settings no longer know the model
            await fail(writer, ErrorInfo(code="invalid_request", message=error.message, details=error.details), trace)
            return False
        return True

    async def _call(
        self, run: RunRequest, writer: RunWriter, provider: Provider, step: int, history: History | None,
        trace: TraceContext, tries: Tries,
    ) -> None:  # fmt: skip
        clients = client_tools(run.generation) if self.agents.of(run) is not None else None
        with self.tracing.span("step", trace, step=step, provider=run.provider_id, model=run.model_id) as span:
            start = StepStart(step=step, provider_id=run.provider_id, model_id=run.model_id, client_tools=clients)
            await writer.append([start], span)
            await self.caller.prewarm(provider, self._request(run, writer, []), writer, span)
            history = history or await self._history(run, writer)
            await self.caller.call(provider, self._request(run, writer, history.items), step, writer, span, tries)

    def _watches(self, run: RunRequest, provider: Provider) -> bool:
        """Is it looked at, before each step, how full the model's window is?"""
        policy = self.agents.compaction(run)
        return policy is not None and policy.window(provider.context_window(run.model_id)) is not None

    async def _make_room(
        self, run: RunRequest, writer: RunWriter, provider: Provider, history: History, trace: TraceContext,
        overflow: ProviderError | None = None,
    ) -> bool:  # fmt: skip
        """Sum the conversation up, where it has become too long for the model (`overflow`: so its provider says); was
        it tried?"""
        policy = self.agents.compaction(run)
        if policy is None:
            return False
        request, compactor = self._request(run, writer, history.items), Compactor(self.caller, self.tracing)
        return await compactor.make_room(provider, request, history.runs, policy, writer, trace, overflow)

    async def _history(self, run: RunRequest, writer: RunWriter) -> History:
        past, current = await earlier(self.store, run), writer.state.response()
        return History([*past, current], conversation(past, current))

    def _request(self, run: RunRequest, writer: RunWriter, items: list[OutputItem]) -> ModelRequest:
        return ModelRequest(
            provider_id=run.provider_id,
            model_id=run.model_id,
            items=items,
            generation=self._generation(run, writer),
            thread_id=run.thread_id,
        )

    def _generation(self, run: RunRequest, writer: RunWriter) -> Generation:
        """With the agent's tools. A tool that the model must call is called in the first step; forced in each, the run
        would never end."""
        agent = self.agents.of(run)
        generation = agent.offered(run.generation) if agent is not None else run.generation
        if sum(step.purpose is None for step in writer.state.steps) > 1:
            generation = replace(generation, tool_choice=unforced(generation.tool_choice))
        return generation


async def earlier(store: Store, run: RunRequest) -> list[Response]:
    """The runs that this one goes on from: those that led to the one it names, else its thread's."""
    if run.previous_run_id is not None:
        return await store.chain(run.previous_run_id)
    if run.opens_thread:
        return []
    runs = await store.thread_runs(run.thread_id)
    made = next((place for place, past in enumerate(runs) if past.id == run.run_id), len(runs))
    return branch(runs[:made], run.after_run_id)


def _may_hear(command: Command) -> bool:
    """Is it a moment at which the model can be told something: between two steps, or instead of the end?"""
    match command:
        case CallModel(step):
            return step > 1
        case Finish(limit=limit):
            return limit is None
    return False


def opening(run: RunRequest, created_at: int) -> list[Payload]:
    """A run's first events: that it exists, what its protocol repeats of the request, and what its user said.

    Every dialect's frames are a function of the log alone (contract §4), so what a protocol repeats stands in it.
    """
    start = ResponseStart(
        response_id=run.run_id, turn_id=run.turn_id, thread_id=run.thread_id, agent_id=run.agent_id,
        model_id=run.model_id, provider_id=run.provider_id, created_at=created_at, after_run_id=run.after_run_id,
    )  # fmt: skip
    asked: list[Payload] = []
    if run.asked is not None:
        data = {"protocol": run.protocol, "asked": run.asked}
        asked = [ProviderEvent(provider_id="tailrace", name="asked", data=data)]
    return [start, *asked, *(event for item in run.input for event in whole(item))]


async def passed_on(log: Log, run_id: str) -> Kind:
    """Whose the run is to go on with, as its log has it."""
    kind: Kind = "run"
    async for page in pages(log, run_id):
        for payload in (payload for batch in page for payload in batch.payloads):
            if isinstance(payload, ProviderEvent) and payload.name == PASSED_ON:
                kind = payload.data["to"]
    return kind


def takeover(writer: RunWriter) -> list[Payload]:
    """What another worker's loss left half-made is cancelled where it stands; its step ends as LOST.

    The event that says so comes first, so that whoever reads the log sees why. Nothing where nothing was half-made.
    """
    closing = [*withdrawn(writer.state), *writer.closing(LOST, "the worker that made this was lost")]
    if not closing:
        return []
    return [ProviderEvent(provider_id="tailrace", name="takeover", data={"epoch": writer.epoch}), *closing]


def _abandoned(takeovers: int) -> ErrorInfo:
    return ErrorInfo(
        code="interrupted", message=f"{takeovers} workers were lost over this run; submit it again", retryable=True
    )
