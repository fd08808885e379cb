"""Whole servers over a Redis Cluster and PostgreSQL: what one begins another tells."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tailrace.client.client import Client
from tailrace.fold.reducer import Reducer
from tailrace.testing.moves import Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.support import postgres
from tests.support.process import ServerProcess
from tests.support.redis import redis_cluster


@pytest.mark.slow
async def test_two_servers_share_a_cluster(tmp_path: Path, upstream: ScriptedUpstream):
    """Runs submitted to one are read from the other, each to its end, and stored as they were read."""
    upstream.script = lambda _asked: [Text("in a cluster")]
    async with AsyncExitStack() as stack:
        (tmp_path / "redis").mkdir()
        cluster = stack.enter_context(redis_cluster(tmp_path / "redis"))
        environ = {"REDIS_URL": cluster.url, "DATABASE_URL": postgres.shared().new_store()}
        servers = [ServerProcess(tmp_path / name, upstream, environ) for name in ("one", "other")]
        for server in servers:
            stack.push_async_callback(server.kill)
        await asyncio.gather(*(server.start() for server in servers))
        one, other = [await stack.enter_async_context(Client(server.url)) for server in servers]

        async def read(number: int) -> None:
            run_id = (await one.submit(prompt=f"go {number}"))["run_id"]
            state = Reducer()
            async for event in other.events(run_id):
                state.apply(event.seq, event.timestamp, event.payload)
            assert state.status == "complete"
            while (await other.run(run_id)).status != "complete":
                await asyncio.sleep(0.05)
            assert await other.run(run_id) == state.response()

        async with asyncio.timeout(60):
            await asyncio.gather(*(read(number) for number in range(20)))
