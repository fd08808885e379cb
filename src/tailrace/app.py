"""Where things are wired together: the rooms, their lifetimes, and the server in front."""

import asyncio
import gc
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from os import urandom
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailrace.api.metrics import Value
from tailrace.api.readers import Readers
from tailrace.api.server import check_exposure, http_server
from tailrace.api.services import Services
from tailrace.api.shared_encoding import Encodings
from tailrace.fold.compaction import CompactionPolicy
from tailrace.fold.folds import Folds
from tailrace.log.base import Log
from tailrace.log.datadir import lock_data_dir
from tailrace.log.sqlite import SqliteLog
from tailrace.log.work import Kind, Work
from tailrace.log.work_memory import MemoryWork
from tailrace.runs.agents import Agent, Agents, approval_policy
from tailrace.runs.answers import Answers
from tailrace.runs.control import Control, Start
from tailrace.runs.drive import Driver, PassOn, passed_on
from tailrace.runs.model_call import ModelCaller
from tailrace.runs.outputs import Outputs
from tailrace.runs.reader import RunReader
from tailrace.runs.runner import Runner
from tailrace.runs.step import Policy
from tailrace.runs.submit import Submitter
from tailrace.runs.tracing import Tracing
from tailrace.runs.turns import Turns
from tailrace.runs.worker import RunWorker
from tailrace.runs.writer import RunWriter
from tailrace.schema.codec import to_builtins
from tailrace.schema.errors import LogError, NotReady, Overloaded, SettingsError
from tailrace.schema.events import TraceContext
from tailrace.schema.request import RunRequest
from tailrace.settings import ROLES, AgentLimits, Compaction, Role, Settings
from tailrace.store.base import Store, StoredRun
from tailrace.store.sql import open_store
from tailrace.testing.demo import Demo
from tailrace.tools.definition import Limits, ToolDefinition
from tailrace.tools.remote import Broker, remote_tool
from tailrace.upstream.http import Timeouts, Upstream
from tailrace.upstream.registry import Provider, Registry, configured_registry
from tailrace.upstream.retry import RetryPolicy
from tailrace.upstream.socket_policy import SocketPolicy
from tailrace.upstream.traffic import Traffic
from tailrace.upstream.websocket import Sockets
from tailrace.workers.announcer import Announcer
from tailrace.workers.projector import Projector
from tailrace.workers.reaper import Reaper

if TYPE_CHECKING:
    from tailrace.mcp.servers import Servers
    from tailrace.tools.registry import Source, Toolset
    from tailrace.tools.spill import Spill

DONE_BY: dict[Kind, Role] = {"run": "runner", "tool": "tools"}
LOST_AFTER_S = 30.0  # without a change of its snapshot a run may have been lost: then it is put to the runners again


def now_ms() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def new_id(kind: str) -> str:
    """A fresh id, as in `run_0190…`."""
    return f"{kind}_{urandom(16).hex()}"


@dataclass(frozen=True, slots=True)
class _Engines:
    """What keeps things. Without queues of `runs`, and of those with `tools` to run, this one process drives what it
    begins."""

    log: Log
    store: Store
    projections: Work
    runs: Work | None
    tools: Work | None = None


@asynccontextmanager
async def services(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Services]:
    """Everything behind the API, alive. Raises SettingsError, NotReady.

    Lifetimes nest: what is entered first is left last, so that runs end before the log closes.
    """
    async with AsyncExitStack() as stack:
        engines = await _engines(settings, stack)
        log, store = engines.log, engines.store
        known = await _with_demo(_registry(settings, environ), stack)
        tracing, traffic = Tracing(), Traffic(environ, now_ms)
        broker = _broker(settings)
        mcp = await _mcp(settings, environ, stack)
        agents = configured_agents(settings, environ, Outputs(store), broker, mcp.connections if mcp else ())
        folds = Folds()
        runner = await _runner(settings, environ, engines, folds, known, traffic, tracing, agents, stack)
        start = runner.drive if engines.runs is None else _put(engines.runs)
        control = Control(log, store, folds, Answers(store), start, _reviver(engines, runner))
        turns = Turns(store, control, tracing)
        projector = Projector(log, store, folds, engines.projections, keep_s=settings.log.keep_s, freed=turns.begin_all)
        await _start_workers(settings, engines, runner, control, turns, projector, stack)
        readers, reader = Readers(), RunReader(log, store)
        yield Services(
            settings=settings,
            log=log,
            store=store,
            registry=known,
            agents=agents,
            broker=broker,
            mcp=mcp.standings if mcp else tuple,
            traffic=traffic,
            reader=reader,
            control=control,
            submitter=Submitter(
                log, store, control, projector.settle, partial(_admit, settings, engines, runner), turns
            ),
            tracing=tracing,
            readers=readers,
            encodings=Encodings(reader),
            gauges=partial(_gauges, engines, runner, readers),
            settle=projector.settle,
            dead=partial(_dead, engines),
            now=now_ms,
            new_id=new_id,
        )


async def _engines(settings: Settings, stack: AsyncExitStack) -> _Engines:
    """The log, the store and the queues that the settings name. Raises SettingsError."""
    alone = settings.log.url is None or settings.store.url is None
    if alone and set(settings.server.roles) != set(ROLES):
        raise SettingsError("server.roles: to share roles out between processes takes Redis and PostgreSQL, so that "
                            "they can meet: set log.url and store.url (or REDIS_URL and DATABASE_URL)")  # fmt: skip
    data = Path(settings.data)
    if alone:
        stack.callback(lock_data_dir(data).release)
    url, gather_ms = settings.store.url or f"sqlite:///{data / 'store.db'}", settings.log.gather_ms
    store = await open_store(url, gather_ms=gather_ms)
    stack.push_async_callback(store.close)
    if settings.log.url is not None:
        return await _redis_engines(settings, settings.log.url, store, stack)
    log = SqliteLog(data / "log.db", gather_ms=gather_ms)
    stack.push_async_callback(log.close)
    projections = MemoryWork()
    await projections.put([head.run_id for head in await log.heads()])
    return _Engines(log, store, projections, None)


async def _redis_engines(settings: Settings, url: str, store: Store, stack: AsyncExitStack) -> _Engines:
    try:  # an extra, for those who share runs between processes
        from tailrace.log.redis import RedisLog
        from tailrace.log.redis_client import Redis
        from tailrace.log.work_redis import RedisWork
    except ImportError as error:
        raise SettingsError(f"log.url: Redis takes the extra `tailrace[redis]` ({error})") from error
    redis = Redis(url, patient_s=settings.limits.outage_s, gather_ms=settings.log.gather_ms)
    stack.push_async_callback(redis.close)
    try:  # nothing is answered before the log can be had; a Redis that is starting itself is waited for
        await redis.call("PING", wait_s=redis.patient_s)
    except NotReady as error:
        raise SettingsError(f"log.url: {error.message}") from error
    log = RedisLog(redis)
    stack.push_async_callback(log.close)
    lease_s = settings.work.lease_s
    kinds: tuple[Kind, ...] = ("project", "run", "tool")
    projections, runs, tools = (RedisWork(redis, kind, lease_s=lease_s) for kind in kinds)
    for work in (projections, runs, tools):
        stack.push_async_callback(work.close)
    return _Engines(log, store, projections, runs, tools)


async def _runner(
    settings: Settings, environ: Mapping[str, str], engines: _Engines, folds: Folds, known: Registry,
    traffic: Traffic, tracing: Tracing, agents: Agents, stack: AsyncExitStack,
) -> Runner:  # fmt: skip
    http = await stack.enter_async_context(Upstream())
    ways = await stack.enter_async_context(Sockets(http, _sockets(settings)))
    caller = ModelCaller(ways, _timeouts(settings), _retries(settings), environ, traffic)
    roles = settings.server.roles
    does = frozenset(kind for kind, role in DONE_BY.items() if role in roles)
    driver = Driver(caller, known, engines.store, tracing, agents, now_ms, does, _passer(engines))
    return Runner(engines.log, folds, driver, tracing, run_s=settings.limits.run_s, now=now_ms)


async def _start_workers(
    settings: Settings, engines: _Engines, runner: Runner, control: Control, turns: Turns, projector: Projector,
    stack: AsyncExitStack,
) -> None:  # fmt: skip
    """Start what this process's roles do beside answering requests.

    When the server stops, the last begun goes first: no run is claimed any more, those that are driven end or are
    handed over, and what was appended is announced.
    """
    roles, within_s = settings.server.roles, settings.server.shutdown_s
    announcer = Announcer(engines.log, engines.projections)
    stack.push_async_callback(announcer.flush)
    jobs = [announcer.run, runner.watch, *([projector.run] if "projector" in roles else [])]
    if engines.runs is not None:
        await stack.enter_async_context(_background(*jobs))
    if engines.tools is not None and "tools" in roles:
        await _start_claiming(settings, engines.tools, runner, engines.store, stack)
    if "runner" not in roles:
        return
    reaper = Reaper(
        engines.log, engines.store, control.revive, control.give_up, control.expire, turns.begin_all,
        engines.projections.put,
        action_s=settings.limits.action_s, keep_s=settings.log.keep_s, grace_s=LOST_AFTER_S,
        now=now_ms, clock=time.monotonic,
    )  # fmt: skip
    if engines.runs is None:
        await stack.enter_async_context(_background(*jobs))
        stack.push_async_callback(runner.drain, within_s)
        await reaper.reap(grace_s=0)  # what an earlier process of this data directory left
        await stack.enter_async_context(_background(reaper.run))
        return
    await _start_claiming(settings, engines.runs, runner, engines.store, stack)
    await stack.enter_async_context(_background(reaper.run))


async def _start_claiming(settings: Settings, queue: Work, runner: Runner, store: Store, stack: AsyncExitStack) -> None:
    """Drive what is claimed of a queue. At the end no more is claimed, and what is held is handed over."""
    work = settings.work
    worker = RunWorker(queue, store, runner, capacity=work.max_runs, renew_s=work.lease_s / 3)
    await stack.enter_async_context(_background(worker.renew))
    stack.push_async_callback(worker.drain, settings.server.shutdown_s)
    await stack.enter_async_context(_background(worker.run))


def _passer(engines: _Engines) -> PassOn | None:
    """Has what this process does not do itself done by one that does."""
    runs, tools = engines.runs, engines.tools
    if runs is None or tools is None:
        return None

    async def pass_on(kind: Kind, run_id: str) -> None:
        await (tools if kind == "tool" else runs).put([run_id])

    return pass_on


def _put(runs: Work) -> Start:
    """Have a run driven by whoever claims it."""

    async def start(run: RunRequest, _writer: RunWriter, _trace: TraceContext) -> None:
        await runs.put([run.run_id])

    return start


def _reviver(engines: _Engines, runner: Runner) -> Callable[[StoredRun], Awaitable[None]]:
    async def revive(run: StoredRun) -> None:
        pass_on = _passer(engines)
        if pass_on is not None:
            run_id = run.request.run_id
            await pass_on(await passed_on(engines.log, run_id), run_id)
            return
        with suppress(LogError):  # it ended, or was changed, right now
            await runner.take(run)

    return revive


async def _admit(settings: Settings, engines: _Engines, runner: Runner) -> None:
    """Raises Overloaded where as many runs are under way as this process drives, or as may wait for one that does."""
    await engines.log.ping()
    if engines.runs is None:
        full = len(runner.live) >= settings.work.max_runs
    else:
        full = await engines.runs.waiting() >= settings.work.max_waiting
    if full:
        raise Overloaded("as many runs are under way as this server takes on; try again later")


def _queues(engines: _Engines) -> dict[str, Work]:
    shared = {"run": engines.runs, "tool": engines.tools}
    return {"project": engines.projections, **{kind: work for kind, work in shared.items() if work is not None}}


async def _dead(engines: _Engines) -> dict[str, list[str]]:
    return {kind: await work.dead() for kind, work in _queues(engines).items()}


async def _gauges(engines: _Engines, runner: Runner, readers: Readers) -> dict[str, Value]:
    return {
        "runs_live": len(runner.live),
        "readers": readers.count,
        "waiting": {kind: await work.waiting() for kind, work in _queues(engines).items()},
        "dead": {kind: len(run_ids) for kind, run_ids in (await _dead(engines)).items()},
    }


def _timeouts(settings: Settings) -> Timeouts:
    up = settings.upstream
    return Timeouts(
        connect_s=up.connect_s, response_s=up.response_s, first_event_s=up.first_event_s, idle_s=up.idle_s,
        total_s=up.total_s,
    )  # fmt: skip


def _sockets(settings: Settings) -> SocketPolicy:
    own = settings.upstream.websocket
    return SocketPolicy(
        connect_s=own.connect_s, first_event_s=own.first_event_s, idle_s=own.idle_s, reuse_s=own.reuse_s
    )


def _retries(settings: Settings) -> RetryPolicy:
    up = settings.upstream
    return RetryPolicy(attempts=up.attempts, total_s=up.retry_total_s, restarts=up.restarts)


def _registry(settings: Settings, environ: Mapping[str, str]) -> Registry:
    return configured_registry(settings.providers, settings.aliases, settings.defaults.model, environ)


async def _mcp(settings: Settings, environ: Mapping[str, str], stack: AsyncExitStack) -> "Servers | None":
    """The MCP servers of the settings; alive in a process that offers or runs tools. Raises SettingsError."""
    if not settings.mcp.servers:
        return None
    try:  # an extra, for those who have servers
        from tailrace.mcp.servers import Servers
    except ImportError as error:
        raise SettingsError(f"mcp.servers: takes the extra `tailrace[mcp]` ({error})") from error
    servers = Servers(settings.mcp.servers, environ, Path(settings.data))
    if {"runner", "tools"} & set(settings.server.roles):
        await stack.enter_async_context(servers.alive())
    return servers


def agent_tools(
    settings: Settings, broker: Broker | None = None, sources: "Sequence[Source]" = ()
) -> "dict[str, Toolset]":
    """The tools of each agent that names some; what is wrong with the names is told at the start. Raises
    SettingsError."""
    if not any(agent.tools for agent in settings.agents.values()):
        return {}
    from tailrace.tools.configured import configured_tools  # what it stands on is only for those who have agents
    from tailrace.tools.policy import NetworkPolicy, SandboxPolicy

    wanted = settings.tools
    hidden = (*wanted.hidden, str(Path(settings.data).resolve()))
    registry = configured_tools(
        wanted.register,
        wanted.packs,
        SandboxPolicy(mode=wanted.sandbox, network=wanted.network, readable=tuple(wanted.readable), hidden=hidden),
        NetworkPolicy(allowed=tuple(wanted.reachable)),
        wanted.search,
        _remote_tools(settings, broker),
        sources,
    )
    return {
        name: registry.toolset(agent.tools, f"agents.{name}.tools")
        for name, agent in settings.agents.items()
        if agent.tools
    }


def _broker(settings: Settings) -> Broker | None:
    """What brings calls to workers, where there are tools for them."""
    return Broker(settings.work.lease_s) if settings.tools.remote else None


def _remote_tools(settings: Settings, broker: Broker | None) -> list[ToolDefinition]:
    if broker is None:
        return []
    return [
        remote_tool(
            broker, name, given.description, given.parameters,
            Limits(timeout_s=given.timeout_s, parallel=given.parallel), idempotent=given.idempotent,
        )
        for name, given in settings.tools.remote.items()
    ]  # fmt: skip


def configured_agents(
    settings: Settings, environ: Mapping[str, str], spill: "Spill", broker: Broker | None = None,
    sources: "Sequence[Source]" = (),
) -> Agents:  # fmt: skip
    """The agents that have tools, each with its workspace, which is made. Raises SettingsError."""
    limits = settings.limits
    policy = Policy(max_steps=limits.max_steps, max_takeovers=limits.max_takeovers)
    toolsets = agent_tools(settings, broker, sources)
    compaction = _compaction(CompactionPolicy(), settings.compaction)
    compactions = {name: _compaction(compaction, agent.compaction) for name, agent in settings.agents.items()}
    if not toolsets:
        return Agents({}, policy, compaction, compactions)
    from tailrace.tools.environment import ALLOWED, allowed_environment
    from tailrace.tools.running import ToolRunner, open_workspace

    wanted = settings.tools
    environment = allowed_environment(environ, ALLOWED if wanted.environment is None else wanted.environment)
    runners: dict[str, ToolRunner] = {}  # one for each workspace: limits of calls at a time are its tools'
    agents = {}
    for name, toolset in toolsets.items():
        given = settings.agents[name]
        folder = given.workspace or wanted.workspace
        if folder not in runners:
            place = f"agents.{name}.workspace" if given.workspace else "tools.workspace"
            runners[folder] = ToolRunner(open_workspace(folder, place), environment, spill)
        approvals = approval_policy(given.approvals, toolset, f"agents.{name}.approvals")
        agents[name] = Agent(
            toolset, approvals, _agent_policy(policy, given.limits), runners[folder], given.approval_s,
            given.interactive,
        )  # fmt: skip
    return Agents(agents, policy, compaction, compactions)


def _compaction(usual: CompactionPolicy, given: Compaction) -> CompactionPolicy:
    """The usual policy, but for what the settings say."""
    return replace(usual, **{name: value for name, value in to_builtins(given).items() if value is not None})


def _agent_policy(policy: Policy, limits: AgentLimits) -> Policy:
    return replace(
        policy,
        max_steps=min(policy.max_steps, limits.steps or policy.max_steps),
        max_tokens=limits.tokens,
        max_cost_usd=limits.cost_usd,
        max_repeats=limits.repeats,
        max_s=limits.time_s,
    )


async def _with_demo(known: Registry, stack: AsyncExitStack) -> Registry:
    """With the `demo` provider, where there would otherwise be no model to mean (contract §7)."""
    if known.default_model is not None:
        return known
    demo = await stack.enter_async_context(Demo(urandom(16).hex()))
    provider = Provider(provider_id="demo", wire="openai-responses", base_url=demo.url, models=["demo"])
    return Registry({**known.providers, "demo": provider}, known.aliases, "demo/demo", known.keyless)


@asynccontextmanager
async def _background(*jobs: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run these beside what is within; one that fails brings the server down rather than leave it half alive."""
    owner = asyncio.current_task()

    async def guarded(job: Callable[[], Awaitable[None]]) -> None:
        try:
            await job()
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError) and owner is not None:
                owner.cancel()
            raise

    tasks = [asyncio.create_task(guarded(job)) for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)


_IN_SQLITE: dict[type, Callable[[Any], bytes | int | None]] = {bytes: bytes, bool: int, type(None): lambda _: None}


def _tune_interpreter() -> None:
    """Leave the collector in peace, and the loop the interpreter.

    What is alive now lives as long as the server, and nearly all else dies by reference count: to look through it all
    every 700 allocations would be 5 % of the CPU for nothing. Streams wait meanwhile: a look at 10,000 took at most
    6 ms, one at 50,000 up to 25. A thread that computes (the store's) may keep the interpreter for half a millisecond,
    not for five, because they wait for that, too. And what SQLite stores as it is need not be asked how it is stored:
    sqlite3 looks for an answer in places that have none, at 2,000 instructions a value.
    """
    for kind, adapt in _IN_SQLITE.items():
        sqlite3.register_adapter(kind, adapt)
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    sys.setswitchinterval(5e-4)


async def serve(
    settings: Settings, environ: Mapping[str, str], *, insecure: bool, started: Callable[[str], None]
) -> None:
    """Serve until SIGINT or SIGTERM. Raises SettingsError, NotReady."""
    check_exposure(settings, insecure=insecure)
    async with services(settings, environ) as wired:
        _tune_interpreter()
        try:
            await http_server(wired, started).serve()
        except SystemExit as error:  # how uvicorn says that it cannot listen
            host, port = settings.server.host, settings.server.port
            raise SettingsError(f"server.port: cannot listen on {host}:{port}; is it in use?") from error
