"""`/api/v2/submit` and `/api/v2/runs` (contract §4)."""

from contextlib import suppress
from typing import Any, Literal

from litestar import Request, get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UNSET

from tailrace.api.bodies import (
    DecisionBody,
    Delivery,
    Door,
    InputBody,
    OutputsBody,
    RunAccepted,
    RunPage,
    SubmitBody,
    Submitted,
)
from tailrace.api.services import Injected, Services
from tailrace.api.threads import Limit
from tailrace.runs import tracing
from tailrace.runs.control import CANCELLED, ToolOutput
from tailrace.schema.errors import Conflict, InvalidRequest, NotFound
from tailrace.schema.events import TraceContext
from tailrace.schema.items import MessageItem
from tailrace.schema.request import RunRequest
from tailrace.schema.response import ENDED, Resolution, Response, Status
from tailrace.settings import Agent
from tailrace.store.base import Input, Thread


def caller(request: Request[Any, Any, Any]) -> TraceContext | None:
    """The caller's trace context, where it sent one."""
    return tracing.of_headers(request.headers.get("traceparent"), request.headers.get("tracestate"))


@post("/api/v2/submit", dto=Door[SubmitBody], return_dto=None, status_code=202)
async def submit(data: JSONBody[SubmitBody], request: Request[Any, Any, Any], services: Injected) -> Submitted:
    """Start a run."""
    return await start_run(services, data, caller(request))


async def start_run(services: Services, data: SubmitBody, trace: TraceContext | None) -> Submitted:
    """The run that was asked for, live; `trace` is its caller's. Raises RequestError."""
    messages = data.messages()
    agent = _agent(services, data.agent_id)
    thread = await services.store.get_thread(data.thread_id) if data.thread_id is not None else None
    await _check_branch(services, data)
    generation = data.generation(agent.instructions, services.agents.names(data.agent_id))
    services.agents.check(data.agent_id, generation)
    provider_id, model_id = _model(services, data, agent, thread)
    now = services.now()
    run_id = data.run_id or services.new_id("run")
    run = RunRequest(
        run_id=run_id,
        turn_id=data.turn_id or services.new_id("turn"),
        thread_id=data.thread_id or services.new_id("thread"),
        provider_id=provider_id,
        model_id=model_id,
        agent_id=data.agent_id,
        after_run_id=data.after_run_id,
        input=[
            MessageItem(id=f"input_{index}", content=message.text(), origin=message.origin, parts=message.parts)
            for index, message in enumerate(messages, 1)
        ],
        generation=generation,
        metadata=data.metadata,
        on_disconnect=data.on_disconnect,
        opens_thread=thread is None,
    )
    new_thread = None if thread else Thread(thread_id=run.thread_id, created_at=now, updated_at=now)
    with services.tracing.span("submit", trace, server=True, run_id=run_id) as span:
        stored = await services.submitter.submit(run, data.digest(), new_thread, data.when_busy, now, span)
    return Submitted(
        run_id=stored.run_id,
        turn_id=stored.turn_id,
        thread_id=stored.thread_id,
        stream_url=f"/api/v2/stream/{stored.run_id}",
    )


def _agent(services: Services, agent_id: str | None) -> Agent:
    if agent_id is None:
        return Agent()
    agents = services.settings.agents
    if agent_id not in agents:
        known = ", ".join(sorted(agents)) or "none"
        raise InvalidRequest(f"no agent {agent_id!r} in the settings; there are: {known}", field="agent_id")
    return agents[agent_id]


async def _check_branch(services: Services, data: SubmitBody) -> None:
    """What the run is to go on from is of its thread. Raises InvalidRequest."""
    after = data.after_run_id
    if after is UNSET:
        return
    if data.thread_id is None:
        raise InvalidRequest("a run goes on from another one in a thread: give its `thread_id`", field="after_run_id")
    if isinstance(after, str):
        with suppress(NotFound):
            if (await services.store.get_run(after)).request.thread_id == data.thread_id:
                return
        raise InvalidRequest(f"thread {data.thread_id!r} has no run {after!r}", field="after_run_id")


def _model(services: Services, data: SubmitBody, agent: Agent, thread: Thread | None) -> tuple[str, str]:
    """Provider and model: the request's, else the agent's, else the thread's, else the settings' default."""
    model, provider_id = data.model_id, data.provider_id
    if model is None and provider_id is None:
        model = agent.model
    if model is None and provider_id is None and thread is not None:
        model, provider_id = thread.model_id, thread.provider_id
    provider, model_id = services.registry.resolve(model, provider_id)
    return provider.provider_id, model_id


@get("/api/v2/runs/{run_id:str}")
async def get_run(run_id: FromPath[str], services: Injected) -> Response:
    """The run as of now."""
    return await services.reader.response(run_id)


@get("/api/v2/runs")
async def list_runs(
    services: Injected,
    thread_id: FromQuery[str | None] = None,
    status: FromQuery[Status | None] = None,
    limit: Limit = 50,
    cursor: FromQuery[str | None] = None,
) -> RunPage:
    """Runs, newest first."""
    runs, next_cursor = await services.store.list_runs(thread_id=thread_id, status=status, limit=limit, cursor=cursor)
    return RunPage(runs=runs, next_cursor=next_cursor)


@post("/api/v2/runs/{run_id:str}/cancel", status_code=202)
async def cancel_run(run_id: FromPath[str], request: Request[Any, Any, Any], services: Injected) -> RunAccepted:
    """End a run as aborted; nothing happens to one that has ended."""
    run = await services.store.get_run(run_id)
    with services.tracing.span("cancel", caller(request), server=True, run_id=run_id) as span:
        await services.control.withdraw(run, CANCELLED, span)
    return RunAccepted(run_id=run_id)


@post("/api/v2/runs/{run_id:str}/approvals/{approval_id:str}", dto=Door[DecisionBody], return_dto=None, status_code=202)
async def post_approval(
    run_id: FromPath[str],
    approval_id: FromPath[str],
    data: JSONBody[DecisionBody],
    request: Request[Any, Any, Any],
    services: Injected,
) -> RunAccepted:
    """Decide about a tool call that a run asks about, or answer what a running call asks; the run goes on when it waits
    for nothing more."""
    run = await services.store.get_run(run_id)
    decision = Resolution(decision=data.decision, by=data.by, reason=data.reason, content=data.content)
    with services.tracing.span("approval", caller(request), server=True, run_id=run_id) as span:
        await services.control.resolve(run, {approval_id: decision}, span)
    return RunAccepted(run_id=run_id)


@post("/api/v2/runs/{run_id:str}/input", dto=Door[InputBody], return_dto=None, status_code=202)
async def post_input(run_id: FromPath[str], data: JSONBody[InputBody], services: Injected) -> Delivery:
    """Say something to a run while it works: its model hears it after the step at hand."""
    run = await services.reader.response(run_id)
    delivery_id = data.delivery_id or services.new_id("input")
    if run.status in ENDED:
        raise Conflict(f"run {run_id} has ended", run_id=run_id)
    await services.store.add_input(run_id, Input(delivery_id=delivery_id, text=data.text))
    return Delivery(run_id=run_id, delivery_id=delivery_id, status="waiting")


@get("/api/v2/runs/{run_id:str}/input/{delivery_id:str}")
async def get_delivery(run_id: FromPath[str], delivery_id: FromPath[str], services: Injected) -> Delivery:
    """The receipt for something said to a run: where in its log it was delivered, or that it never was."""
    said = {each.delivery_id: each for each in await services.store.inputs(run_id)}
    if delivery_id not in said:
        await services.store.get_run(run_id)
        raise NotFound(f"nothing was said to run {run_id} as {delivery_id!r}")
    seq = await services.reader.seq_of(run_id, said[delivery_id].item_id)
    over = seq is None and (await services.reader.response(run_id)).status in ENDED
    status: Literal["waiting", "delivered", "undelivered"] = "undelivered" if over else "waiting"
    return Delivery(run_id=run_id, delivery_id=delivery_id, status="delivered" if seq else status, seq=seq)


@get("/api/v2/runs/{run_id:str}/outputs/{call_id:str}", media_type="text/plain")
async def get_output(run_id: FromPath[str], call_id: FromPath[str], services: Injected) -> bytes:
    """The whole output of a tool, where it was too long for the model."""
    return await services.store.kept_output(run_id, call_id)


@post("/api/v2/runs/{run_id:str}/outputs", dto=Door[OutputsBody], return_dto=None, status_code=202)
async def post_outputs(
    run_id: FromPath[str], data: JSONBody[OutputsBody], request: Request[Any, Any, Any], services: Injected
) -> RunAccepted:
    """Give a waiting run the outputs of its calls; it goes on when all are there."""
    run = await services.store.get_run(run_id)
    outputs = [ToolOutput(output.call_id, output.output, output.success) for output in data.outputs]
    with services.tracing.span("outputs", caller(request), server=True, run_id=run_id) as span:
        await services.control.outputs(run, outputs, span)
    return RunAccepted(run_id=run_id)
