"""Where things are wired together: the rooms, their lifetimes, and the server in front."""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from socket import socket
from types import FrameType
from uuid import uuid4

import uvicorn

from tailrace.api import asgi, metrics
from tailrace.api.readers import Readers
from tailrace.api.services import Services
from tailrace.log.datadir import lock_data_dir
from tailrace.log.sqlite import SqliteLog
from tailrace.runs.drive import Driver
from tailrace.runs.model_call import ModelCaller
from tailrace.runs.reader import RunReader
from tailrace.runs.runner import Runner
from tailrace.runs.submit import Submitter
from tailrace.runs.tracing import Tracing
from tailrace.schema.errors import SettingsError
from tailrace.settings import Settings
from tailrace.store.sql import open_store
from tailrace.testing.upstream import ScriptedUpstream
from tailrace.upstream.http import Timeouts, Upstream
from tailrace.upstream.registry import Provider, Registry, configured_registry
from tailrace.upstream.retry import RetryPolicy
from tailrace.workers.projector import Projector
from tailrace.workers.reaper import Reaper


def now_ms() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def new_id(kind: str) -> str:
    """A fresh id, as in `run_0190…`."""
    return f"{kind}_{uuid4().hex}"


@asynccontextmanager
async def services(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Services]:
    """Everything behind the API, alive. Raises SettingsError, NotReady.

    Lifetimes nest: what is entered first is left last, so that runs end before the log closes.
    """
    async with AsyncExitStack() as stack:
        data = Path(settings.data)
        stack.callback(lock_data_dir(data).release)
        log = SqliteLog(data / "log.db", gather_ms=settings.log.gather_ms)
        stack.push_async_callback(log.close)
        store = await open_store(f"sqlite:///{data / 'store.db'}")
        stack.push_async_callback(store.close)
        upstream = await stack.enter_async_context(Upstream())
        known = await _with_demo(_registry(settings, environ), stack)
        tracing = Tracing()
        caller = ModelCaller(upstream, _timeouts(settings), _retries(settings), environ)
        driver = Driver(caller, known, store, tracing, settings.limits.max_steps)
        runner = Runner(log, driver, tracing, run_s=settings.limits.run_s)
        projector = Projector(log, store, keep_s=settings.log.keep_s, clock=time.monotonic)
        reaper = Reaper(log, store, runner, action_s=settings.limits.action_s, now=now_ms, settle=projector.settle)
        readers = Readers()
        gauges: dict[str, tuple[str, Callable[[], float]]] = {
            "runs_live": ("Runs being driven by this process.", lambda: len(runner.live)),
            "readers": ("Open event streams.", lambda: readers.count),
            "runs_set_aside": ("Runs that cannot be projected.", lambda: len(projector.set_aside)),
        }
        stack.push_async_callback(projector.flush)
        await stack.enter_async_context(_background(projector.run, reaper.run))
        stack.push_async_callback(runner.shutdown)
        yield Services(
            settings=settings,
            log=log,
            store=store,
            registry=known,
            reader=RunReader(log, store),
            runner=runner,
            submitter=Submitter(log, store, runner, projector.settle),
            tracing=tracing,
            readers=readers,
            metrics=metrics.registry(gauges),
            settle=projector.settle,
            set_aside=projector.set_aside,
            now=now_ms,
            new_id=new_id,
        )


def _timeouts(settings: Settings) -> Timeouts:
    up = settings.upstream
    return Timeouts(connect_s=up.connect_s, first_event_s=up.first_event_s, idle_s=up.idle_s, total_s=up.total_s)


def _retries(settings: Settings) -> RetryPolicy:
    return RetryPolicy(attempts=settings.upstream.attempts, total_s=settings.upstream.retry_total_s)


def _registry(settings: Settings, environ: Mapping[str, str]) -> Registry:
    return configured_registry(settings.providers, settings.aliases, settings.defaults.model, environ)


async def _with_demo(known: Registry, stack: AsyncExitStack) -> Registry:
    """With the `demo` provider, where there would otherwise be no model to mean (contract §7)."""
    if known.default_model is not None:
        return known
    demo = await stack.enter_async_context(ScriptedUpstream(faults=False, seed=uuid4().hex))
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


class _Server(uvicorn.Server):
    """Tells when it answers; ends the open streams when told to stop: readers come back elsewhere with their cursor."""

    def __init__(self, config: uvicorn.Config, readers: Readers, started: Callable[[str], None]) -> None:
        super().__init__(config)
        self._readers = readers
        self._started = started

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        if self.started:
            host, port = self.config.host, self.servers[0].sockets[0].getsockname()[1]
            self._started(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGINT or SIGTERM."""
        self._readers.stop()
        super().handle_exit(sig, frame)


def check_exposure(settings: Settings, *, insecure: bool) -> None:
    """Raises SettingsError where the server would be open to others without a key."""
    host = settings.server.host
    if insecure or settings.server.api_keys or host == "localhost":
        return
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise SettingsError(
            f"server.host: {host} can be reached by others, and no API key is set; "
            f"set server.api_keys, or pass --insecure if that is meant"
        )


def _tune_interpreter() -> None:
    """Leave the collector in peace, and the loop the interpreter.

    What is alive now lives as long as the server, and nearly all else dies by reference count: to look through it all
    every 700 allocations would be 5 % of the CPU for nothing. A thread that computes (the store's) may keep the
    interpreter for half a millisecond, not for five: streams wait for it meanwhile.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    sys.setswitchinterval(5e-4)


def http_server(wired: Services, started: Callable[[str], None]) -> uvicorn.Server:
    """The server in front of these services. `started` is told the URL once it answers."""
    settings = wired.settings.server
    config = uvicorn.Config(
        asgi.build(wired),
        host=settings.host,
        port=settings.port,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(settings.shutdown_s),
    )
    return _Server(config, wired.readers, started)


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
