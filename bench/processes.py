"""The processes under load: started, watched and ended."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

from bench.client import BenchError, Connection, call

READY_S = 30.0
_CPUCLOCK_SCHED = 2  # Linux: the clock of a process's CPU time, user and system, all its threads


class Process:
    """A server in a process of its own, listening on `port`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, port: int) -> None:
        self.name = name
        self.port = port
        self.pid = process.pid
        self.process = process

    def cpu_s(self) -> float:
        """CPU time used so far, in seconds. The clock's number follows from the pid as in clock_getcpuclockid(3)."""
        return time.clock_gettime((~self.pid << 3) | _CPUCLOCK_SCHED)

    def rss(self) -> int:
        """Resident memory in bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def helper(module: str, *arguments: str) -> AsyncIterator[Process]:
    """A module of this package that prints its port when it listens."""
    command = (sys.executable, "-m", module, *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), READY_S)
        if not line.strip().isdigit():
            raise BenchError(f"{module} did not start")
        yield Process(module.rpartition(".")[2], process, int(line))
    finally:
        await _end(process)


def passthrough(upstream: Process) -> AbstractAsyncContextManager[Process]:
    """The yardstick, in front of this upstream."""
    return helper("bench.passthrough", f"http://127.0.0.1:{upstream.port}")


@asynccontextmanager
async def tailrace(
    upstream: Process | int, folder: Path, name: str, settings: Mapping[str, str], more: str = ""
) -> AsyncIterator[Process]:
    """`tailrace serve` with a fresh data directory, its one provider the upstream at this port. `more` is added to its
    settings file."""
    port = _free_port()
    config = folder / f"{name}.toml"
    base_url = f"http://127.0.0.1:{upstream if isinstance(upstream, int) else upstream.port}/v1"
    provider = f'[providers.bench]\nwire = "openai-responses"\nbase_url = "{base_url}"\nmodels = ["bench"]\n'
    config.write_text(provider + more, encoding="utf-8")
    program = str(Path(sys.executable).with_name("tailrace"))
    arguments = ("serve", "--port", str(port), "--config", str(config), "--data", str(folder / name))
    clean = {key: value for key, value in os.environ.items() if not key.endswith("_API_KEY")}
    said = folder / f"{name}.log"
    with said.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, env={**clean, **settings}, stdout=output, stderr=output
        )
    server = Process(name, process, port)
    try:
        await _ready(server, said)
        yield server
    finally:
        await _end(process)


@asynccontextmanager
async def redis_server(folder: Path) -> AsyncIterator[str]:
    """A redis-server that keeps nothing on disk: its URL."""
    port = _free_port()
    options = ("--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "no")
    with (folder / "redis.log").open("wb") as output:
        process = await asyncio.create_subprocess_exec("redis-server", *options, stdout=output, stderr=output)
    try:
        await _listens(port, process)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        await _end(process)


async def _listens(port: int, process: asyncio.subprocess.Process) -> None:
    last = time.monotonic() + READY_S
    while time.monotonic() < last and process.returncode is None:
        with suppress(OSError):
            (await Connection.open(port)).close()
            return
        await asyncio.sleep(0.05)
    raise BenchError("redis-server did not start")


async def _ready(server: Process, said: Path) -> None:
    last = time.monotonic() + READY_S
    while time.monotonic() < last and server.process.returncode is None:
        with suppress(OSError, BenchError):
            connection = await Connection.open(server.port)
            await call(connection, "GET", "/readyz")
            connection.close()
            return
        await asyncio.sleep(0.05)
    raise BenchError(f"{server.name} did not start: {_last_words(said)}")


def _last_words(said: Path) -> str:
    return said.read_text(encoding="utf-8", errors="replace")[-2000:]


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
