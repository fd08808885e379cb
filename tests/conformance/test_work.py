"""Every queue of work against the one suite."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tailrace.log.redis_client import Redis
from tailrace.log.work_memory import MemoryWork
from tailrace.log.work_redis import RedisWork
from tailrace.testing.work_conformance import HASTY_S, WorkConformance, Workers
from tests.support.redis import RedisCluster, RedisServer

KINDS = ["memory", "redis", "cluster"]


@asynccontextmanager
async def two(request: pytest.FixtureRequest, lease_s: float) -> AsyncIterator[Workers]:
    """Two workers of an empty queue; in Redis they are two processes, as far as it can tell."""
    if request.param == "memory":
        alone = MemoryWork(lease_s=lease_s)
        yield alone, alone
        await alone.close()
        return
    server: RedisServer | RedisCluster = request.getfixturevalue(request.param)
    server.ask("FLUSHALL")
    clients = Redis(server.url), Redis(server.url)
    works = [RedisWork(client, "run", lease_s=lease_s) for client in clients]
    yield works[0], works[1]
    for work, client in zip(works, clients, strict=True):
        await work.close()
        await client.close()


@pytest.fixture(params=KINDS)
async def workers(request: pytest.FixtureRequest) -> AsyncIterator[Workers]:
    """Two workers whose claims do not lapse here."""
    async with two(request, 60) as both:
        yield both


@pytest.fixture(params=KINDS)
async def hasty(request: pytest.FixtureRequest) -> AsyncIterator[Workers]:
    """Two workers whose claims lapse soon."""
    async with two(request, HASTY_S) as both:
        yield both


class TestWork(WorkConformance):
    """The suite, for each of them."""
