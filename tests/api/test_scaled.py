"""Nodes over Redis and PostgreSQL, as an operator sees them: health per role, back-pressure, what runs leave behind."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from msgspec.structs import replace

from tailrace import app
from tailrace.log.redis import RedisLog
from tailrace.log.redis_client import Redis
from tailrace.log.work import MAX_DELIVERIES
from tailrace.log.work_redis import RedisWork
from tailrace.schema import codec
from tailrace.schema.errors import SettingsError
from tailrace.settings import Settings
from tailrace.testing.log_conformance import TRACE, done
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.events import START
from tests.support.ports import free_port
from tests.support.postgres import shared
from tests.support.process import ServerProcess
from tests.support.redis import redis_server
from tests.support.server import Served, serving, settings
from tests.support.topology import in_role, standing_on

Given = Callable[..., Settings]


@pytest.fixture
def scaled(tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Given]:
    """Makes settings of nodes that share one Redis and one PostgreSQL database."""
    with standing_on("scaled") as topology:
        yield lambda **sections: topology.placed(settings(tmp_path / "data", upstream, **sections))


async def ask(server: Served, path: str, body: object = None) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body of a GET, or of a POST of this JSON."""
    method = "GET" if body is None else "POST"
    async with aiohttp.ClientSession() as session, session.request(method, server.url + path, json=body) as reply:
        return reply.status, reply.headers, await reply.read()


@pytest.mark.parametrize("role", ["runner", "projector", "tools"])
async def test_a_node_without_the_api_answers_for_its_health_only(scaled: Given, upstream: ScriptedUpstream, role):
    """Liveness, readiness with its roles, and metrics; everything else is 404, for clients of any protocol."""
    async with serving(in_role(scaled(), role), upstream) as server:
        assert (await ask(server, "/healthz"))[0] == 200
        status, _, body = await ask(server, "/readyz")
        assert (status, codec.decode_any(body)["roles"]) == (200, [role])
        status, _, body = await ask(server, "/metrics")
        assert status == 200
        assert b"tailrace_runs_live 0.0" in body
        for path in ("/api/v2/threads", "/api/v2/stream/x", "/v1/models", "/openapi.json", "/docs"):
            assert (await ask(server, path))[0] == 404, path
        for path in ("/api/v2/submit", "/v1/responses", "/v1/chat/completions", "/v1/messages"):
            assert (await ask(server, path, {"prompt": "x"}))[0] == 404, path


async def test_more_runs_than_may_wait_are_refused(scaled: Given, upstream: ScriptedUpstream):
    """429 with Retry-After, and nothing is stored; those that wait are driven as soon as somebody does."""
    given = scaled(work={"max_waiting": 2})
    async with serving(in_role(given, "api"), upstream) as server:
        run_ids = [(await server.client.submit(prompt="x"))["run_id"] for _ in range(2)]
        status, headers, body = await ask(server, "/api/v2/submit", {"prompt": "x"})
        assert (status, codec.decode_any(body)["error"]["code"]) == (429, "overloaded")
        assert int(headers["retry-after"]) >= 1
        runs, _ = await server.services.store.list_runs(thread_id=None, status=None, limit=10, cursor=None)
        assert sorted(run.id for run in runs) == sorted(run_ids)
        assert b'tailrace_waiting{kind="run"} 2.0' in (await ask(server, "/metrics"))[2]
        async with app.services(in_role(given, "runner"), {}):
            for run_id in run_ids:
                assert [event.type async for event in server.client.events(run_id)][-1] == "response_done"
            assert (await ask(server, "/api/v2/submit", {"prompt": "x"}))[0] == 202


async def test_while_redis_is_away_nothing_is_begun(tmp_path: Path, upstream: ScriptedUpstream):
    """503 with Retry-After, for as long as it takes, and no trace of the run; then all is as it was."""
    with redis_server(tmp_path) as redis:
        given = settings(tmp_path / "data", upstream, log={"url": redis.url}, store={"url": shared().new_store()})
        async with serving(given, upstream) as server:
            assert (await ask(server, "/readyz"))[0] == 200
            redis.kill()
            status, headers, body = await ask(server, "/api/v2/submit", {"prompt": "x", "run_id": "r"})
            assert (status, codec.decode_any(body)["error"]["code"]) == (503, "not_ready")
            assert int(headers["retry-after"]) >= 1
            assert (await ask(server, "/readyz"))[0] == 503
            assert (await ask(server, "/healthz"))[0] == 200
            runs, _ = await server.services.store.list_runs(thread_id=None, status=None, limit=10, cursor=None)
            assert runs == []
            await asyncio.to_thread(redis.start)
            async with asyncio.timeout(20):
                while (await ask(server, "/readyz"))[0] != 200:
                    await asyncio.sleep(0.05)  # it connects again after a back-off
            assert (await ask(server, "/api/v2/submit", {"prompt": "x", "run_id": "r"}))[0] == 202
            assert [event.type async for event in server.client.events("r")][-1] == "response_done"


@asynccontextmanager
async def engines(url: str) -> AsyncIterator[tuple[Redis, RedisLog]]:
    """A node of the test's own."""
    redis = Redis(url)
    log = RedisLog(redis)
    yield redis, log
    await log.close()
    await redis.close()


async def test_a_run_that_no_worker_copes_with_is_shown(scaled: Given, upstream: ScriptedUpstream):
    """Handed out too often it is dead: `/readyz` names it, `/metrics` counts it."""
    given = scaled()
    assert given.log.url is not None
    async with serving(in_role(given, "api"), upstream) as server, engines(given.log.url) as (redis, _):
        work = RedisWork(redis, "run", lease_s=0.05)
        await work.put(["r"])
        deliveries = [job.deliveries for _ in range(MAX_DELIVERIES) for job in await work.claim(1)]
        assert deliveries == list(range(1, MAX_DELIVERIES + 1))
        looking = asyncio.create_task(work.claim(1))
        dead = {"project": [], "run": ["r"], "tool": []}
        async with asyncio.timeout(20):
            while codec.decode_any((await ask(server, "/readyz"))[2])["dead"] != dead:
                await asyncio.sleep(0.02)  # when its last claim lapses
        assert b'tailrace_dead{kind="run"} 1.0' in (await ask(server, "/metrics"))[2]
        looking.cancel()
        await asyncio.wait({looking})
        await work.close()


async def finish_runs(redis: Redis, log: RedisLog, start: int, count: int) -> None:
    """Runs that begin and end, and that the projector lets go."""
    work = RedisWork(redis, "project", lease_s=15)
    for first in range(start, start + count, 500):
        run_ids = [f"run_{number}" for number in range(first, first + 500)]
        epochs = await asyncio.gather(*map(log.acquire, run_ids))
        ended = [[replace(START, response_id=run_id), done(run_id)] for run_id in run_ids]
        appends = zip(run_ids, epochs, ended, strict=True)
        await asyncio.gather(*(log.append(run_id, epoch, payloads, TRACE) for run_id, epoch, payloads in appends))
        await work.put(run_ids)
    while (await log.head(run_ids[-1])) is not None or await work.waiting():
        await asyncio.sleep(0.02)
    await work.close()


def memory_of(pid: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


async def cpu_while_idle(pid: int, seconds: float) -> float:
    """CPU seconds that it uses in so many seconds in which nobody asks for anything."""

    def used() -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = used()
    await asyncio.sleep(seconds)
    return (used() - before) / 100


@pytest.mark.slow
async def test_c43_finished_runs_cost_an_idle_node_nothing(scaled: Given, tmp_path: Path, upstream: ScriptedUpstream):
    """10,000 of them change neither its memory nor its CPU, and leave nothing in Redis."""
    given = scaled()
    assert given.log.url is not None
    assert given.store.url is not None
    environ = {"REDIS_URL": given.log.url, "DATABASE_URL": given.store.url, "TAILRACE_LOG__KEEP_S": "0"}
    node = ServerProcess(tmp_path / "node", upstream, environ)
    await node.start()
    async with engines(given.log.url) as (redis, log):
        await finish_runs(redis, log, 0, 2000)  # what is made once is made
        keys, memory = await redis.call("DBSIZE"), memory_of(node.pid)
        cpu = await cpu_while_idle(node.pid, 2)
        await finish_runs(redis, log, 2000, 10_000)
        async with asyncio.timeout(20):
            while await redis.call("DBSIZE") > keys:
                await asyncio.sleep(0.05)  # what has expired is swept away by and by
        grown, more_cpu = memory_of(node.pid) - memory, await cpu_while_idle(node.pid, 2) - cpu
        assert grown < 4 << 20
        assert more_cpu < 0.1
    await node.stop()


async def test_a_server_without_its_redis_does_not_start(tmp_path: Path, upstream: ScriptedUpstream):
    """It says which setting is meant, and gives no password away."""
    url = f"redis://:{'verysecret'}@127.0.0.1:{free_port()}"
    given = settings(tmp_path / "data", upstream, log={"url": url}, limits={"outage_s": 0.5})
    with pytest.raises(SettingsError) as refused:
        async with serving(given, upstream):
            pass
    assert str(refused.value).startswith("log.url: ")
    assert "verysecret" not in str(refused.value)
