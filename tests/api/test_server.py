"""The server as a whole: keys, limits, defaults, health, traces, secrets, garbage."""

import gc
import importlib.util
import logging
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tailrace import app
from tailrace.client.client import Client, ClientError
from tailrace.runs.tracing import Tracing
from tailrace.runs.writer import RunWriter
from tailrace.schema.errors import NotReady, SettingsError
from tailrace.settings import Settings
from tailrace.testing.moves import Burst, Call, HttpError, Text
from tailrace.testing.upstream import ScriptedUpstream
from tailrace.upstream.http import Reply
from tailrace.upstream.http_answer import Answer
from tailrace.upstream.registry import configured_registry
from tailrace.upstream.watchdog import Watchdog
from tests.support.process import ServerProcess, mapped
from tests.support.server import WIRES, Served, providers, serving, settings

SECRET = "sk-" + "verysecret" * 3


async def status_of(url: str, method: str = "GET", **options: Any) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session, session.request(method, url, **options) as reply:
        return reply.status, await reply.read()


async def test_with_keys_set_every_route_but_health_wants_one(tmp_path: Path, upstream: ScriptedUpstream):
    """Bearer or X-API-Key; without, or with a wrong one, 401 in the uniform shape."""
    async with serving(settings(tmp_path, upstream, server={"api_keys": [SECRET, "other"]}), upstream) as server:
        for path in ("/healthz", "/readyz"):
            assert (await status_of(server.url + path))[0] == 200
        for path in ("/api/v2/threads", "/metrics", "/openapi.json", "/docs", "/api/v2/stream/x"):
            code, body = await status_of(server.url + path)
            assert (code, b'"unauthorized"' in body) == (401, True), path
        for headers in (
            {"Authorization": f"Bearer {SECRET}"},
            {"X-API-Key": "other"},
            {"authorization": "bearer other"},
        ):
            assert (await status_of(f"{server.url}/api/v2/threads", headers=headers))[0] == 200
        assert (await status_of(f"{server.url}/api/v2/threads", headers={"X-API-Key": "wrong"}))[0] == 401
        async with Client(server.url, SECRET) as client:
            run_id = (await client.submit(prompt="x"))["run_id"]
            assert [event async for event in client.events(run_id)][-1].type == "response_done"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
async def test_without_a_key_it_serves_loopback_only(host: str):
    """Anything else needs a key, or a clear wish."""
    exposed = Settings(server=app_server(host=host))
    with pytest.raises(SettingsError, match="--insecure"):
        app.check_exposure(exposed, insecure=False)
    app.check_exposure(exposed, insecure=True)
    app.check_exposure(Settings(server=app_server(host=host, api_keys=["k"])), insecure=False)
    for local in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        app.check_exposure(Settings(server=app_server(host=local)), insecure=False)


def app_server(**fields: Any) -> Any:
    return type(Settings().server)(**fields)


async def test_a_body_over_the_limit_is_413(tmp_path: Path, upstream: ScriptedUpstream):
    """Told by its length, or found while it comes."""
    async with serving(settings(tmp_path, upstream, server={"max_body_bytes": 1000}), upstream) as server:
        with pytest.raises(ClientError) as refused:
            await server.client.submit(prompt="x" * 2000)
        assert (refused.value.status, refused.value.code) == (413, "too_large")


async def test_c53_a_bare_submit_with_default_settings_is_accepted(tmp_path: Path):
    """No key, no settings, just a prompt: the demo provider answers."""
    async with ScriptedUpstream() as unused, serving(defaults(tmp_path), unused) as server:
        run_id = (await server.client.submit(prompt="hello"))["run_id"]
        assert [event async for event in server.client.events(run_id)][-1].type == "response_done"
        response = await server.client.run(run_id)
        assert (response.provider_id, response.model_id) == ("demo", "demo")
        assert unused.requests == []


def defaults(tmp_path: Path) -> Settings:
    return Settings(data=str(tmp_path / "data"), server=app_server(port=0))


def test_with_a_key_the_real_provider_is_meant():
    """OPENAI_API_KEY or ANTHROPIC_API_KEY is all that it takes to talk to the real one."""
    for variable, provider_id in (("OPENAI_API_KEY", "openai"), ("ANTHROPIC_API_KEY", "anthropic")):
        registry = configured_registry({}, {}, None, {variable: SECRET})
        provider, model = registry.resolve(None, None)
        assert provider.provider_id == provider_id
        assert model
        assert SECRET not in repr(registry.providers)


async def test_c47_without_store_or_log_it_is_not_ready(server: Served):
    """Health says so, and a submit is 503 with Retry-After, not a run that nobody keeps."""
    await server.services.store.close()
    assert (await status_of(f"{server.url}/healthz"))[0] == 200
    assert (await status_of(f"{server.url}/readyz"))[0] == 503
    with pytest.raises(ClientError) as refused:
        await server.client.submit(prompt="x")
    assert (refused.value.status, refused.value.code) == (503, "not_ready")
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/api/v2/submit", json={"prompt": "x"}) as reply,
    ):
        assert int(reply.headers["retry-after"]) >= 1
    with pytest.raises(NotReady):
        await server.services.store.ping()


async def test_what_the_api_offers_is_described(server: Served):
    """OpenAPI names every route and body; the page at /docs needs nothing from elsewhere."""
    code, body = await status_of(f"{server.url}/openapi.json")
    assert code == 200
    for path in (
        "/api/v2/submit",
        "/api/v2/threads/{thread_id}",
        "/api/v2/runs/{run_id}/outputs",
        "/api/v2/stream/{run_id}",
    ):
        assert path.encode() in body
    assert b'"SubmitBody"' in body
    code, page = await status_of(f"{server.url}/docs")
    assert code == 200
    assert b"<script" not in page
    assert b"http" not in page.replace(b"http-equiv", b"")
    code, body = await status_of(f"{server.url}/metrics")
    assert b"tailrace_readers 0.0" in body


class Spans(SpanExporter):
    """Keeps the spans that are exported."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Any) -> SpanExportResult:
        """Keep them."""
        self.spans += spans
        return SpanExportResult.SUCCESS


async def test_c59_one_span_per_request_and_step_and_none_per_token(server: Served):
    """A thousand tokens add no span; each event names a span that exists; the caller's trace goes on."""
    kept, provider = Spans(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    for node in server.nodes:
        node.tracing._tracer = Tracing(provider)._tracer
    server.upstream.enqueue([Burst(1000)], [Call("now", "{}", call_id="c")], [Text("noon")])
    trace_id, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    headers = {"traceparent": f"00-{trace_id}-{parent}-01", "content-type": "application/json"}
    _, body = await status_of(
        f"{server.url}/api/v2/submit", "POST", data=b'{"prompt":"x","run_id":"r"}', headers=headers
    )
    assert b'"r"' in body
    events = [event async for event in server.client.events("r")]
    names = [span.name for span in kept.spans]
    assert sorted(names) == ["step", "submit"]
    spans = {f"{span.context.span_id:016x}": span for span in kept.spans}
    for event in events:
        _, trace, span, _ = event.trace_context.traceparent.split("-")
        assert trace == trace_id
        assert span in spans
    (step,) = (span for span in kept.spans if span.name == "step")
    (submit,) = (span for span in kept.spans if span.name == "submit")
    assert step.parent is not None
    assert step.parent.span_id == submit.context.span_id
    assert f"{submit.parent.span_id:016x}" == parent
    assert server.upstream.requests[0].headers["traceparent"].split("-")[1] == trace_id


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


async def test_without_an_exporter_events_name_spans_all_the_same(server: Served):
    """Trace contexts are valid (W3C) and of one trace, the caller's where there is one; each step has its span."""
    headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}
    for given, run_id in ((headers, "with"), ({"traceparent": "nonsense"}, "without")):
        await status_of(f"{server.url}/api/v2/submit", "POST", json={"prompt": "x", "run_id": run_id}, headers=given)
        contexts = [event.trace_context async for event in server.client.events(run_id)]
        parts = [re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-0[01]", c.traceparent) for c in contexts]
        assert all(parts)
        assert len({part[1] for part in parts if part}) == 1
        assert len({part[2] for part in parts if part}) == 2
        assert (contexts[0].tracestate == "a=b") is (run_id == "with")
        assert ("0af7651916cd43dd8448eb211c80319c" in contexts[0].traceparent) is (run_id == "with")


@pytest.mark.parametrize("wire", WIRES)
async def test_c60_a_key_stands_nowhere(
    tmp_path: Path,
    upstream: ScriptedUpstream,
    wire: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
):
    """A provider's key reaches the provider and nothing else, even if the provider echoes it."""
    given = settings(tmp_path, upstream, upstream={"attempts": 1})
    given = type(given)(**{**{f: getattr(given, f) for f in given.__struct_fields__},
        "providers": {"p": {**providers(upstream)[wire], "api_key_env": "P_KEY"}}})  # fmt: skip
    caplog.set_level(logging.DEBUG)
    seen: list[bytes] = []
    async with serving(given, upstream, {"P_KEY": SECRET}) as server:
        upstream.enqueue([Text("fine")], [HttpError(401, body=f'{{"error":"bad key {SECRET}"}}'.encode())])
        for _ in range(2):
            run_id = (await server.client.submit(prompt="x", model_id="p/m"))["run_id"]
            seen += [frame.data async for frame in server.client.frames(run_id)]
        for path in ("/metrics", "/openapi.json", f"/api/v2/runs/{run_id}"):
            seen.append((await status_of(server.url + path))[1])
    assert {"authorization", "x-api-key", "x-goog-api-key"} & upstream.requests[0].headers.keys()
    files = contents(tmp_path)
    told = "".join(capfd.readouterr()) + caplog.text
    assert not any(SECRET.encode() in data for data in [*seen, *files, told.encode()])


async def test_a_run_leaves_nothing_to_the_garbage_collector(server: Served):
    """What has ended goes by its reference counts: to look for cycles in it would hold up every stream for as long as
    fifty milliseconds, each second under load."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(5):
            run_id = (await server.client.submit(prompt="hello"))["run_id"]
            assert [event async for event in server.client.events(run_id)][-1].type == "response_done"
        gc.collect()
        kinds = (RunWriter, Watchdog, RequestResponseCycle, Answer, Reply)
        assert [thing for thing in gc.garbage if isinstance(thing, kinds)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.slow
async def test_the_server_loads_no_model_library_of_others(tmp_path: Path, upstream: ScriptedUpstream):
    """pydantic is installed here, with the clients' SDKs; a server has no use for it and does without its memory."""
    assert importlib.util.find_spec("pydantic") is not None
    process = ServerProcess(tmp_path, upstream)
    await process.start()
    assert (await process.get("/openapi.json"))[0] == 200
    assert "pydantic" not in mapped(process.pid)
    await process.kill()


@pytest.mark.slow
async def test_the_server_loads_no_client_library_but_its_own(tmp_path: Path, upstream: ScriptedUpstream):
    """aiohttp opens sockets to providers: a server whose providers are asked over HTTP does without its memory."""
    process = ServerProcess(tmp_path, upstream)
    await process.start()
    assert (await status_of(process.url + "/v1/responses", "POST", json={"model": "responses/m", "input": "x"}))[
        0
    ] == 200
    loaded = mapped(process.pid)
    assert "aiohttp" not in loaded
    assert "httptools" in loaded
    await process.kill()
