"""Providers over real sockets: several keys, limits, costs, Azure, and what `GET /api/v2/providers` tells of them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tailrace.schema import codec
from tailrace.schema.events import Event, ResponseDone, StepDone
from tailrace.testing.moves import Call, Fail, Gate, Headers, HttpError, Spent, Stall, Text
from tailrace.testing.performer import key_digest
from tailrace.testing.upstream import ScriptedUpstream
from tailrace.upstream import aws
from tests.support.server import Served, serving, settings

KEYS = ["sk-first-0123456789", "sk-second-0123456789", "sk-third-0123456789"]
ENVIRON = {"P_KEY": ",".join(KEYS)}
DIGESTS = {key_digest(key): number for number, key in enumerate(KEYS, 1)}
CHAT = "openai-chat-completions"


@asynccontextmanager
async def over(
    tmp_path: Path,
    upstream: ScriptedUpstream,
    environ: Mapping[str, str] = ENVIRON,
    limits: Mapping[str, float] | None = None,
    **table: Any,
) -> AsyncIterator[Served]:
    """A server with one provider `p` of this table, and the built-in ones that `environ` sets up; `limits` are the
    settings' for all providers."""
    row = {"wire": CHAT, "base_url": upstream.url, "api_key_env": "P_KEY", "models": ["m"], **table}
    given = settings(
        tmp_path / "data", upstream, upstream=limits or {}, providers={"p": row}, defaults={"model": "p/m"}
    )
    async with serving(given, upstream, environ) as server:
        yield server


async def run(server: Served, **body: Any) -> list[Event]:
    run_id = (await server.client.submit(**{"prompt": "hello", "model_id": "p/m", **body}))["run_id"]
    return [event async for event in server.client.events(run_id)]


async def listed(server: Served) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}/api/v2/providers") as reply:
        assert reply.status == 200
        text = await reply.text()
    assert not any(key in text for key in KEYS)
    return next(row for row in codec.decode_any(text)["providers"] if row["provider_id"] == "p")


def used(upstream: ScriptedUpstream) -> list[int]:
    """The positions of the keys that requests came with, from 1."""
    return [DIGESTS[request.key] for request in upstream.requests]


# --- several keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason"), [(429, "rate_limit"), (402, "quota"), (401, "authentication")]
)  # fmt: skip
async def test_a_refused_key_makes_way_for_another(
    tmp_path: Path, upstream: ScriptedUpstream, status: int, reason: str
):
    """At once, and unseen by the reader; the refused one rests, and the next run does not ask it again."""
    upstream.enqueue([HttpError(status)], [Text("fine")])
    async with over(tmp_path, upstream) as server:
        events = await run(server)
        assert events[-1].type == "response_done"
        assert [event.type for event in events].count("step_start") == 1
        first, second = used(upstream)
        assert first != second
        keys = (await listed(server))["keys"]
        assert (keys["count"], [(key["key"], key["reason"]) for key in keys["resting"]]) == (3, [(first, reason)])
        await run(server)
        assert used(upstream)[2] != first


LITELLM = {
    "message": f"Rate limit exceeded for api_key: {'5f' * 32}. Limit type: max_parallel_requests. Current limit: 2, "
    "Remaining: 0. Limit resets at: 2026-10-07 11:41:39 UTC",
    "type": "throttling_error", "param": None, "code": "429",
}  # fmt: skip


@pytest.mark.parametrize("count", [1, 2])
async def test_too_many_at_a_time_for_litellm(tmp_path: Path, upstream: ScriptedUpstream, count: int):
    """Another key is asked at once. The same one is not: it is to come back after a minute, which is past the budget.
    The digest of the key, by which the proxy calls it, is not repeated."""
    headers = {"retry-after": "60", "rate_limit_type": "max_parallel_requests"}
    upstream.enqueue([HttpError(429, body=codec.encode({"error": LITELLM}), headers=headers)], [Text("fine")])
    async with over(tmp_path, upstream, {"P_KEY": ",".join(KEYS[:count])}) as server:
        ended = (await run(server))[-1]
        assert ended.type == ("response_error" if count == 1 else "response_done")
        assert [key["reason"] for key in (await listed(server))["keys"]["resting"]] == ["concurrency"]
    assert len(upstream.requests) == count
    if count == 1:
        assert ended.payload.error.code == "rate_limited"
        assert "max_parallel_requests" in ended.payload.error.message
        assert "5f5f" not in codec.encode(ended).decode()


async def test_every_key_is_tried_once_and_then_the_run_ends(tmp_path: Path, upstream: ScriptedUpstream):
    """The error is the last one's; it tells of no key."""
    upstream.script = lambda asked: [HttpError(401, body=f'{{"error": "bad keys {KEYS}"}}'.encode())]
    async with over(tmp_path, upstream) as server:
        events = await run(server)
    assert events[-1].type == "response_error"
    assert events[-1].payload.error.code == "authentication"
    assert not any(key in codec.encode(event).decode() for event in events for key in KEYS)
    assert sorted(used(upstream)) == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "kind", "asked"), [(403, "ExpiredTokenException", 2), (403, "AccessDeniedException", 1)]
)
async def test_credentials_that_were_found_are_looked_for_anew_when_they_are_refused(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, status: int, kind: str, asked: int
):
    """An expired one once, behind the reader's back; what may not be is told at once, and the next run looks again."""
    config, looked = tmp_path / "config", tmp_path / "looked"
    (tmp_path / "keys.json").write_text('{"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "secret"}')
    config.write_text(f"[default]\ncredential_process = sh -c 'echo >>{looked}; cat {tmp_path}/keys.json'\n")
    for name, file in (("AWS_CONFIG_FILE", config), ("AWS_SHARED_CREDENTIALS_FILE", tmp_path / "none")):
        monkeypatch.setenv(name, str(file))
    aws.forget({})
    table = {"wire": "bedrock-converse", "base_url": upstream.origin, "api_key_env": []}
    async with over(tmp_path, upstream, {}, **table) as server:
        await run(server)
        upstream.enqueue([HttpError(status, headers={"x-amzn-errortype": f"com.amazon#{kind}"})])
        ended = (await run(server))[-1].type
        assert ended == ("response_done" if asked == 2 else "response_error")
        await run(server)
    assert len(upstream.requests) == 2 + asked
    assert len(looked.read_text().splitlines()) == 2


async def test_a_thread_keeps_its_key(tmp_path: Path, upstream: ScriptedUpstream):
    """So that the provider's cache knows its beginning; threads share the keys out among them."""
    async with over(tmp_path, upstream) as server:
        threads: dict[str, set[int]] = {}
        for number in range(12):
            thread = (await server.client.submit(prompt=f"hello {number}"))["thread_id"]
            await upstream.received(2 * number + 1)
            await upstream.requests[-1].answered.wait()
            await run(server, thread_id=thread, when_busy="interrupt")
            threads[thread] = set(used(upstream)[-2:])
    assert all(len(keys) == 1 for keys in threads.values())
    assert len(set().union(*threads.values())) > 1


async def test_nothing_is_rotated_once_something_was_seen(tmp_path: Path, upstream: ScriptedUpstream):
    """An answer that breaks off after text is not asked for again with another key."""
    upstream.enqueue([Text("half"), Fail("rate_limited")])
    async with over(tmp_path, upstream) as server:
        events = await run(server)
        assert events[-1].type == "response_error"
        assert [key["reason"] for key in (await listed(server))["keys"]["resting"]] == ["rate_limit"]
    assert len(upstream.requests) == 1


async def test_only_so_many_calls_are_under_way(tmp_path: Path, upstream: ScriptedUpstream):
    """The next run waits for its place, and goes on when there is one."""
    upstream.script = lambda asked: [Text("a"), Gate("g"), Text("b")]
    async with over(tmp_path, upstream, max_in_flight=2) as server:
        runs = [(await server.client.submit(prompt=f"{number}"))["run_id"] for number in range(3)]
        await upstream.received(2)
        await upstream.gate("g").reached.wait()
        row = await listed(server)
        assert (row["in_flight"], row["max_in_flight"]) == (2, 2)
        assert len(upstream.requests) == 2
        upstream.gate("g").open()
        for run_id in runs:
            assert [event async for event in server.client.events(run_id)][-1].type == "response_done"
        assert (await listed(server))["in_flight"] == 0
    assert len(upstream.requests) == 3


async def test_a_provider_may_need_more_patience(tmp_path: Path, upstream: ScriptedUpstream):
    """Than the settings have with others: the limit that ends the run is its own."""
    upstream.enqueue([Text("a"), Stall()])
    given = {"idle_s": 0.05, "first_event_s": 5.0}
    async with over(tmp_path, upstream, limits=given, patience={"idle_s": 0.2}) as server:
        error = (await run(server))[-1].payload.error
    assert (error.code, error.message) == ("timeout", "no progress for 0.2 s")


# --- the report ---------------------------------------------------------------------------------------------------


async def test_the_last_answer_s_limits_are_told(tmp_path: Path, upstream: ScriptedUpstream):
    """Of an answer and of a refusal alike."""
    headers = {"x-ratelimit-limit-tokens": "100", "x-ratelimit-remaining-tokens": "40"}
    refused = {"x-ratelimit-limit-tokens": "100", "x-ratelimit-remaining-tokens": "0"}
    upstream.enqueue([Headers(headers), Text("x")], [HttpError(400, headers=refused)])
    async with over(tmp_path, upstream) as server:
        assert (await listed(server))["limits"] == []
        await run(server)
        row = await listed(server)
        assert row["limits"] == [{"name": "tokens", "limit": 100.0, "used": 60.0, "remaining": 40.0}]
        assert row["limits_at"] > 1_700_000_000_000
        await run(server)
        assert (await listed(server))["limits"][0]["remaining"] == 0.0


# --- costs --------------------------------------------------------------------------------------------------------

PRICE = {"input": 1.0, "cached": 0.1, "output": 10.0}
SPENT = Spent(1_000_000, 100_000, cached=500_000)


async def test_a_step_and_its_run_have_their_cost_in_the_log(tmp_path: Path, upstream: ScriptedUpstream):
    """By the settings' price: input, cached input and output; what readers fold is the same."""
    upstream.enqueue([Text("x"), SPENT])
    async with over(tmp_path, upstream, prices={"m": PRICE}) as server:
        events = await run(server)
        steps = [event.payload for event in events if isinstance(event.payload, StepDone)]
        done = events[-1].payload
        assert isinstance(done, ResponseDone)
        assert [step.usage.cost_usd for step in steps] == [pytest.approx(1.55)]
        assert done.usage.cost_usd == pytest.approx(1.55)
        assert (await server.client.run(done.response_id)).usage == done.usage


async def test_a_run_costs_what_its_steps_cost(tmp_path: Path, upstream: ScriptedUpstream):
    """Each step is priced by itself."""
    upstream.enqueue([Call("f", "{}", call_id="c1"), SPENT], [Text("done"), SPENT])
    async with over(tmp_path, upstream, prices={"m": PRICE}) as server:
        tool = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
        run_id = (await server.client.submit(prompt="x", tools=[tool]))["run_id"]
        async for event in server.client.events(run_id):
            if event.type == "step_done" and event.payload.finish_reason == "tool_calls":
                await server.client.outputs(run_id, [{"call_id": "c1", "output": "1"}])
            last = event
        assert last.payload.usage.cost_usd == pytest.approx(3.1)


async def test_a_reported_cost_wins_and_a_model_without_a_price_has_none(tmp_path: Path, upstream: ScriptedUpstream):
    """As OpenRouter reports one; nothing is made up."""
    upstream.enqueue([Text("x"), Spent(10, 5, cost=0.25)], [Text("x"), SPENT])
    async with over(tmp_path, upstream, models=["m", "n"], prices={"m": PRICE}) as server:
        assert (await run(server))[-1].payload.usage.cost_usd == 0.25
        assert (await run(server, model_id="p/n"))[-1].payload.usage.cost_usd is None


# --- Azure --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "path"), [("azure", "/v1/responses"), ("azure-chat", "/v1/chat/completions")]
)  # fmt: skip
@pytest.mark.parametrize(("version", "said"), [({}, "v1"), ({"AZURE_OPENAI_API_VERSION": "preview"}, "preview")])
async def test_azure_is_asked_in_its_own_way(
    tmp_path: Path, upstream: ScriptedUpstream, provider: str, path: str, version: dict[str, str], said: str
):
    """§3.5: path, `api-version`, `api-key`, and the deployment's name in place of the model's."""
    environ = {
        "AZURE_OPENAI_API_KEY": KEYS[0],
        "AZURE_OPENAI_BASE_URL": upstream.url,
        "AZURE_OPENAI_DEPLOYMENT_NAME_MAP": "gpt-5-mini=my-deployment",
        **version,
    }
    async with over(tmp_path, upstream, environ) as server:
        events = await run(server, model_id=f"{provider}/gpt-5-mini", max_output_tokens=50)
        assert events[-1].type == "response_done"
        assert events[0].payload.model_id == "gpt-5-mini"
    request = upstream.requests[-1]
    assert (request.path, request.query) == (path, {"api-version": said})
    assert request.key == key_digest(KEYS[0])
    assert "authorization" not in request.headers
    assert request.headers["api-key"] == "***"
    assert request.body["model"] == "my-deployment"
    if provider == "azure-chat":  # by the model's own name its quirks are known
        assert request.body["max_completion_tokens"] == 50
