"""A small data centre: Redis, PostgreSQL, a network between them and the nodes, and nodes in roles of their own."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tailrace.log.redis_client import Redis
from tailrace.log.work import Work
from tailrace.log.work_redis import RedisWork
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.postgres import Postgres
from tests.support.process import NotStarted, ServerProcess
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")

ROLES: dict[str, list[str]] = {
    "api-1": ["api"],
    "api-2": ["api"],
    "runner-1": ["runner"],
    "runner-2": ["runner"],
    "projector-1": ["projector"],
    "tools-1": ["tools"],
    "mixed": ["api", "runner", "projector", "tools"],
}
TOOLS = """
[tools]
register = ["tests.support.agent_tools:TOOLS"]
workspace = "{work}"
sandbox = "preferred"

[agents.worker]
tools = ["note", "nap"]
"""
LEASE_S = 3
SKEWED = "runner-2"  # its clock is a minute ahead


class NothingUp(Exception):
    """All that could be broken in this way is."""


@dataclass
class World:
    """All that may be broken. `work`: where tools leave their effects; `down`: what is broken right now, which is not
    broken again meanwhile."""

    upstream: ScriptedUpstream
    redis: RedisServer
    postgres: Postgres
    network: Proxy
    nodes: dict[str, ServerProcess]
    queue: Work
    work: Path
    chance: random.Random
    live: set[str] = field(default_factory=set)  # the runs that are under way
    down: set[str] = field(default_factory=set)

    def api_urls(self) -> Sequence[str]:
        """Where clients may knock."""
        return [node.url for name, node in self.nodes.items() if "api" in ROLES[name]]

    @asynccontextmanager
    async def _down(self, *names: str) -> AsyncIterator[str]:
        """One of these that is up, while it is down."""
        up = sorted(set(names) - self.down)
        if not up:
            raise NothingUp
        name = self.chance.choice(up)
        self.down.add(name)
        try:
            yield name
        finally:
            self.down.discard(name)

    async def kill_node(self) -> None:
        """kill -9 of a node, and soon a new one in its place."""
        async with self._down(*self.nodes) as name:
            await self.nodes[name].kill()
            await asyncio.sleep(self.chance.uniform(0, 1))
            await self._bring_up(name)

    async def stop_node(self) -> None:
        """An orderly restart (SIGTERM): it hands over."""
        async with self._down(*self.nodes) as name:
            await self.nodes[name].stop()
            await self._bring_up(name)

    async def _bring_up(self, name: str) -> None:
        """As its supervisor would: again, while what it needs is away and it says so and ends."""
        while True:
            try:
                await self.nodes[name].start()
                return
            except NotStarted:
                await asyncio.sleep(0.5)

    async def kill_redis(self) -> None:
        """kill -9 of Redis; it comes back with what its append-only file has."""
        async with self._down("redis"):
            self.redis.kill()
            await asyncio.sleep(self.chance.uniform(0, 0.5))
            await asyncio.to_thread(self.redis.start)

    async def kill_postgres(self) -> None:
        """kill -9 of PostgreSQL, and its recovery."""
        async with self._down("postgres"):
            self.postgres.kill()
            await asyncio.sleep(self.chance.uniform(0, 0.5))
            await asyncio.to_thread(self.postgres.start)

    async def cut_network(self) -> None:
        """No node reaches Redis for a moment: what was on the way is gone."""
        async with self._down("network"):
            await self.network.cut(self.chance.uniform(0.1, 2))

    async def slow_network(self) -> None:
        """Everything to and from Redis comes late for a while."""
        async with self._down("network"):
            self.network.delay_s = self.chance.uniform(0.005, 0.05)
            await asyncio.sleep(self.chance.uniform(0.5, 2))
            self.network.delay_s = 0

    async def double_delivery(self) -> None:
        """Runs that somebody works on are put to the runners again."""
        run_ids = sorted(self.live)
        await self.queue.put(self.chance.sample(run_ids, min(3, len(run_ids))))

    def faults(self) -> list[tuple[float, Callable[[], Awaitable[None]]]]:
        """What can be done to it, by weight."""
        return [
            (5, self.kill_node),
            (2, self.stop_node),
            (1, self.kill_redis),
            (1, self.kill_postgres),
            (2, self.cut_network),
            (2, self.slow_network),
            (2, self.double_delivery),
        ]


def _clock_ahead() -> dict[str, str]:
    """The environment of a program whose clock is a minute ahead, where that can be had."""
    if not FAKETIME.exists():
        return {}
    return {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "+60s", "DONT_FAKE_MONOTONIC": "1"}


@asynccontextmanager
async def world(folder: Path, chance: random.Random, appendfsync: str) -> AsyncIterator[World]:
    """Start it all; end it all."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(ScriptedUpstream())
        (folder / "redis").mkdir()
        redis = RedisServer(folder / "redis", appendfsync=appendfsync)
        stack.callback(redis.kill)
        await asyncio.to_thread(redis.start)
        postgres = Postgres()
        stack.callback(postgres.destroy)
        await asyncio.to_thread(postgres.start)
        network = await stack.enter_async_context(Proxy(redis.port))
        client = Redis(redis.url)
        stack.push_async_callback(client.close)
        queue = RedisWork(client, "run", lease_s=LEASE_S)
        stack.push_async_callback(queue.close)
        environ = {
            "REDIS_URL": f"redis://127.0.0.1:{network.port}/0",
            "DATABASE_URL": await asyncio.to_thread(postgres.new_store),
            "TAILRACE_WORK__LEASE_S": str(LEASE_S),
            "TAILRACE_LIMITS__MAX_TAKEOVERS": "20",
        }
        work = folder / "work"
        work.mkdir()
        nodes: dict[str, ServerProcess] = {}
        for name, roles in ROLES.items():
            clock = _clock_ahead() if name == SKEWED else {}
            nodes[name] = ServerProcess(folder / name, upstream, {**environ, **clock}, roles, TOOLS.format(work=work))
            stack.push_async_callback(nodes[name].kill)
        await asyncio.gather(*(node.start() for node in nodes.values()))
        yield World(upstream, redis, postgres, network, nodes, queue, work, chance)
