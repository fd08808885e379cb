"""The HTTP way to providers, over real sockets."""

import asyncio
import socket

import pytest

from tailrace.schema import codec
from tailrace.schema.errors import CODES, ProviderError
from tailrace.testing.moves import Burst, Cut, Gate, HttpError, KeepAlive, Paced, Pause, Stall, Text
from tailrace.testing.upstream import ScriptedUpstream
from tailrace.upstream import http
from tailrace.upstream.http import Call, Timeouts, Upstream
from tests.support.http_calls import SECRET, call_to, failing, fetch, raw_server, read, read_all, read_request, reset

ARRIVES_S = 1.0  # so long a request, or a piece of an answer, is never under way on a busy machine
BODIES = {
    "/responses": {"model": "m", "input": "hi"},
    "/chat/completions": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    "/messages": {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]},
}


@pytest.fixture
async def up():
    async with ScriptedUpstream() as server:
        yield server


@pytest.fixture
async def upstream():
    async with Upstream() as pool:
        yield pool


def call(up: ScriptedUpstream, path: str = "/responses") -> Call:
    return call_to(up.url + path, codec.encode({**BODIES[path], "stream": True}))


# --- the good way -------------------------------------------------------------------------------------------------


async def test_a_reply_is_read_to_its_end(up, upstream):
    """Status, headers, bytes; b"" at the end, however often asked."""
    up.enqueue([Text("hello")])
    async with upstream.open(call(up)) as reply:
        assert reply.status == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
        body = await read_all(reply)
        assert await read(reply) == b""
    assert body.endswith(b"\n\n")
    assert b"response.completed" in body


async def test_what_arrives_is_handed_over_until_the_taker_has_enough(up, upstream):
    """Each network read in its own callback, without the task; what comes after "enough" waits for the next `feed`."""
    up.enqueue([Text("a"), Gate("g"), Text("b"), Gate("h"), Text("c")])
    taken: list[bytes] = []
    turns: list[asyncio.Task[object] | None] = []

    def take(data: bytes) -> bool:
        taken.append(data)
        turns.append(asyncio.current_task())
        return b"b" not in data

    async with upstream.open(call(up)) as reply:
        feeding = asyncio.create_task(reply.feed(take))
        await up.gate("g").reached.wait()
        up.gate("g").open()
        await up.gate("h").reached.wait()
        up.gate("h").open()
        assert await feeding
        before = b"".join(taken)
        while await reply.feed(take):
            pass
    assert None in turns  # called back by the loop itself
    assert taken[-1] == b""
    assert b"response.completed" in b"".join(taken).removeprefix(before)


async def test_what_the_taker_raises_is_raised_where_feed_was_called(up, upstream):
    """Also where it was called back by the loop; the connection is closed as after any other failure."""
    up.enqueue([Text("a"), Gate("g"), Text("zebra"), Stall()])

    def take(data: bytes) -> bool:
        if b"zebra" in data:
            raise LookupError("no such thing")
        return True

    async def fails():
        async with upstream.open(call(up)) as reply:
            await reply.feed(take)

    task = asyncio.create_task(fails())
    await up.gate("g").reached.wait()
    up.gate("g").open()
    with pytest.raises(LookupError, match="no such thing"):
        await asyncio.wait_for(task, 20)
    await asyncio.wait_for(up.requests[0].disconnected.wait(), 20)


async def test_what_arrives_after_a_cancelled_feed_waits_for_the_next(up, upstream):
    """Nothing is taken for a task that is about to stop, and nothing of it is lost."""
    up.enqueue([Text("a"), Gate("g"), Text("b")])
    taken: list[bytes] = []

    def take(data: bytes) -> bool:
        taken.append(data)
        return True

    async with upstream.open(call(up)) as reply:
        feeding = asyncio.create_task(reply.feed(take))
        await up.gate("g").reached.wait()
        feeding.cancel()
        up.gate("g").open()
        await asyncio.wait({feeding})
        assert feeding.cancelled()
        body = b"".join(taken) + await read_all(reply)
    assert body.startswith((b"event:", b"data:"))
    assert b"response.completed" in body


async def test_the_request_goes_out_as_given(up, upstream):
    """Body and headers arrive; a stream is not compressed, for a compressor holds back what it should show."""
    await fetch(upstream, call(up))
    request = up.requests[-1]
    assert request.body == {**BODIES["/responses"], "stream": True}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["authorization"] == "***"
    assert "cookie" not in request.headers


async def test_a_large_body_is_sent(up, upstream):
    """Histories of several megabytes pass (and cause no warning)."""
    body = codec.encode({"model": "m", "input": "x" * 3_000_000, "stream": True})
    await fetch(upstream, call_to(f"{up.url}/responses", body))
    assert len(up.requests[-1].body["input"]) == 3_000_000


async def test_a_fully_read_body_gives_the_connection_back(up, upstream):
    """Two calls, one socket."""
    await fetch(upstream, call(up))
    await fetch(upstream, call(up))
    first, second = up.requests
    assert first.connection == second.connection


async def test_an_http_error_gives_the_connection_back(up, upstream):
    """An error's body is read, so that its socket serves the next call."""
    up.enqueue([HttpError(500)])
    await failing(upstream, call(up))
    await fetch(upstream, call(up))
    first, second = up.requests
    assert first.connection == second.connection


async def test_leaving_early_closes_the_socket(up, upstream):
    """What is left of an answer nobody wants is not read; the provider sees the socket close."""
    up.enqueue([Text("a"), Gate("g"), Burst(10)])
    async with upstream.open(call(up)) as reply:
        await read(reply)
        await up.gate("g").reached.wait()
    await asyncio.wait_for(up.requests[0].disconnected.wait(), 20)
    await fetch(upstream, call(up))
    assert up.requests[0].connection != up.requests[1].connection
    assert not up.requests[0].answered.is_set()


@pytest.mark.parametrize("script", [[Text("a"), Gate("g")], [Gate("g")]], ids=["in the body", "before the headers"])
async def test_cancellation_closes_the_socket_at_once(up, upstream, script):
    """A cancelled task leaves no request running at the provider."""
    up.enqueue(script)
    task = asyncio.create_task(fetch(upstream, call(up)))
    await up.gate("g").reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(up.requests[0].disconnected.wait(), 20)


async def test_a_task_cancelled_in_the_body_of_the_with_closes_the_socket(up, upstream):
    """Also where it is cancelled while it does something else than read."""
    up.enqueue([Text("a"), Stall()])

    async def dawdle():
        async with upstream.open(call(up)) as reply:
            await read(reply)
            await asyncio.Event().wait()

    task = asyncio.create_task(dawdle())
    request = await up.received()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(request.disconnected.wait(), 20)


async def test_a_closed_pool_says_so(up):
    """Use outside `async with` is a bug of the caller's."""
    with pytest.raises(RuntimeError):
        await fetch(Upstream(), call(up))


# --- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "invalid_request"),
        (401, "authentication"),
        (429, "rate_limited"),
        (500, "server_error"),
        (529, "overloaded"),
    ],
)
async def test_c11_an_http_error_is_one_typed_error(up, upstream, path, status, code):
    """Each wire's error body becomes one ProviderError with code, status, retryable and retry_after."""
    up.enqueue([HttpError(status, retry_after=7)])
    error = await failing(upstream, call(up, path))
    assert (error.code, error.status, error.retryable) == (code, status, CODES[code])
    if error.retryable:
        assert error.retry_after == 7


async def test_c9_a_close_before_the_headers_is_a_connection_error(up, upstream):
    """The provider hung up without a word: another try may help."""
    up.enqueue([Cut()])
    error = await failing(upstream, call(up))
    assert (error.code, error.retryable) == ("connection", True)


async def test_c9_a_close_in_mid_body_is_an_interrupted_stream(up, upstream):
    """The answer breaks off: never taken for its end."""
    up.enqueue([Text("a"), Cut()])
    async with upstream.open(call(up)) as reply:
        with pytest.raises(ProviderError) as caught:
            await read_all(reply)
    assert (caught.value.code, caught.value.retryable) == ("stream_interrupted", True)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"", "connection"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "stream_interrupted"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc", "stream_interrupted"),
    ],
)
async def test_c9_a_reset_is_told_by_where_it_happens(upstream, said, code):
    """RST before headers and in a body of either framing."""

    read = asyncio.Event()

    async def serve(reader, writer):
        await read_request(reader)
        writer.write(said)
        await writer.drain()
        if said:
            await read.wait()
        reset(writer)

    async with raw_server(serve) as url:
        error = await failing(upstream, call_to(url), on_read=read.set)
    assert (error.code, error.retryable) == (code, True)


async def test_a_refused_connection_and_a_bad_url_are_typed(upstream):
    """Nobody listens there; and no place at all."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        error = await failing(upstream, call_to(f"http://127.0.0.1:{free.getsockname()[1]}/v1?key={SECRET}"))
    assert error.code == "connection"
    assert "127.0.0.1" in error.message
    assert (await failing(upstream, call_to(f"no-url-at-all?key={SECRET}"))).code == "invalid_request"
    assert (await failing(upstream, call_to(f"ftp://127.0.0.1/?key={SECRET}"))).code == "invalid_request"


async def test_a_server_that_speaks_no_http_is_a_protocol_error(upstream):
    """Garbage is not worth another try."""

    async def serve(reader, writer):
        await read_request(reader)
        writer.write(b"220 mail.example.org ESMTP\r\n\r\n")
        await writer.drain()
        writer.close()

    async with raw_server(serve) as url:
        assert (await failing(upstream, call_to(url))).code == "protocol_error"


async def test_redirects_are_not_followed(up, upstream):
    """A key must not travel to another host."""

    async def serve(reader, writer):
        await read_request(reader)
        where = f"{up.url}/responses".encode()
        writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % where)
        await writer.drain()
        writer.close()

    async with raw_server(serve) as url:
        error = await failing(upstream, call_to(url))
    assert error.status == 307
    assert up.requests == []


@pytest.mark.parametrize("ending", ["endless", "stalled"])
async def test_an_error_body_is_read_for_a_while_only(upstream, monkeypatch, ending):
    """The status is known: neither an endless body nor one that stalls keeps the error back."""
    monkeypatch.setattr(http, "_ERROR_BODY_S", 0.05)

    async def serve(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 500 Internal Server Error\r\nTransfer-Encoding: chunked\r\n\r\n")
        while ending == "endless" and not writer.is_closing():
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
            try:
                await writer.drain()
            except ConnectionError:
                return
        await reader.read(1)
        writer.close()

    async with raw_server(serve) as url:
        error = await failing(upstream, call_to(url))
    assert (error.code, error.status) == ("server_error", 500)


# --- watchdogs ----------------------------------------------------------------------------------------------------


async def test_c15_a_server_that_accepts_and_stalls_is_given_up(up, upstream):
    """No headers, no event: the first-event limit fires, and the provider sees the socket close."""
    up.enqueue([Stall()])
    failed = asyncio.create_task(failing(upstream, call(up), Timeouts(first_event_s=ARRIVES_S)))
    request = await up.received()
    error = await failed
    assert (error.code, error.retryable) == ("timeout", True)
    assert error.details == {"watchdog": "first_event"}
    assert f"{ARRIVES_S:g} s" in error.message
    await asyncio.wait_for(request.disconnected.wait(), 20)


async def test_c15_silence_in_mid_body_is_an_idle_timeout(up, upstream):
    """Events came, then nothing: idle_s counts since the last of them."""
    up.enqueue([Text("a"), Stall()])
    error = await failing(upstream, call(up), Timeouts(idle_s=0.03))
    assert (error.code, error.retryable) == ("timeout", True)
    assert error.details == {"watchdog": "idle"}
    await asyncio.wait_for(up.requests[0].disconnected.wait(), 20)


async def test_c15_headers_alone_are_no_first_event(up, upstream):
    """A 200 with nothing behind it is given up like one that never came."""
    up.enqueue([KeepAlive(), Stall()])
    error = await failing(upstream, call(up), Timeouts(first_event_s=0.03))
    assert error.details == {"watchdog": "first_event"}


@pytest.mark.parametrize("path", BODIES)
async def test_c15_keep_alives_are_no_progress(up, upstream, path):
    """A provider that only says that it is alive is silent: the caller counts events, not bytes."""
    beats = [move for _ in range(200) for move in (KeepAlive(), Pause(0.005))]
    up.enqueue(beats)
    error = await failing(upstream, call(up, path), Timeouts(first_event_s=0.05))
    assert error.details == {"watchdog": "first_event"}


async def test_a5_regular_chunks_outlive_the_idle_limit(up, upstream):
    """The limit is on silence, not on length."""
    up.enqueue([Paced(0.05, (Burst(30),))])
    body = await fetch(upstream, call(up), Timeouts(first_event_s=20, idle_s=ARRIVES_S))
    assert b'"30 "' in body


async def test_a5_an_endless_answer_meets_the_total_limit(up, upstream):
    """However lively."""
    up.enqueue([Paced(0.005, (Burst(1000),))])
    error = await failing(upstream, call(up), Timeouts(total_s=0.1))
    assert error.details == {"watchdog": "total"}


async def test_waiting_for_a_connection_has_its_own_limit(up):
    """A pool without a free place is a connect timeout."""
    up.enqueue([Text("a"), Gate("g")])
    async with Upstream(connections=1) as small, small.open(call(up)) as reply:
        await read(reply)
        error = await failing(small, call(up), Timeouts(connect_s=0.03))
        up.gate("g").open()
        await read_all(reply)
    assert error.details == {"watchdog": "connect"}
    assert (error.code, error.retryable) == ("timeout", True)


# --- secrets ------------------------------------------------------------------------------------------------------


async def test_no_secret_stands_in_an_error(up, upstream):
    """Keys in headers, in the URL and echoed by a gateway stay out of errors and of what they were raised from."""
    up.enqueue([HttpError(400, body=b'{"error": {"message": "bad header: Bearer %s"}}' % SECRET.encode())], [Cut()])
    plain = Call(url=f"{up.url}/responses?key={SECRET}", headers=call(up).headers, body=call(up).body, stream=True)
    broken = Call(url=plain.url, headers={"x-api-key": f"{SECRET}\n"}, body=b"", stream=True)
    for asked in (plain, plain, broken, call_to(f"http://[bad/?key={SECRET}")):
        error = await failing(upstream, asked)
        shown = f"{error!r} {error.message} {error.details} {error.__cause__!r}"
        assert SECRET not in shown
        assert error.__suppress_context__ or error.__context__ is None


def test_a_call_hides_what_it_carries():
    """Neither repr shows headers, query or body."""
    asked = Call(url=f"https://u:{SECRET}@h.example/v1?key={SECRET}", headers={"a": SECRET}, body=b"q", stream=False)
    assert repr(asked) == "Call(host='h.example', stream=False, body=<1 bytes>)"
    assert SECRET not in str(asked.__rich_repr__())


async def test_the_progress_of_one_call_is_not_that_of_another(up, upstream):
    """Fifty calls at once keep their own timers."""
    calls = [call(up)] * 50
    up.enqueue(*[[Text("a"), Stall()] if at % 2 else [Paced(0.01, (Burst(20),))] for at in range(50)])
    limits = Timeouts(first_event_s=20, idle_s=1.5)
    outcomes = await asyncio.gather(*(fetch(upstream, asked, limits) for asked in calls), return_exceptions=True)
    assert sum(isinstance(outcome, ProviderError) for outcome in outcomes) == 25
    assert sum(isinstance(outcome, bytes) for outcome in outcomes) == 25


async def test_an_answer_known_to_be_complete_keeps_its_connection(up, upstream):
    """Who stops reading at the provider's terminal event still gives the connection back to the pool."""
    for _ in range(3):
        async with upstream.open(call(up)) as reply:
            while b"response.completed" not in await read(reply):
                pass
            reply.is_complete = True
        await up.requests[-1].answered.wait()
        async with asyncio.timeout(20):
            while not upstream._pool._idle:
                await asyncio.sleep(0)
    assert len({request.connection for request in up.requests}) == 1


async def test_the_response_limit_ends_with_the_headers(up, upstream):
    """It says so itself where it fires, and no longer counts once an answer has begun."""
    up.enqueue([Stall()], [Text("a"), Pause(ARRIVES_S), Text("b")])
    error = await failing(upstream, call(up), Timeouts(response_s=0.03))
    assert error.details == {"watchdog": "response"}
    assert b"response.completed" in await fetch(upstream, call(up), Timeouts(response_s=ARRIVES_S))


async def test_an_answer_that_is_whole_is_ended_though_its_body_is_not(up, upstream):
    """`end_within`: the taker hears of an end, once, and may read no further."""
    up.enqueue([Text("a"), Stall()])
    heard: list[bytes] = []

    def take(data: bytes) -> bool:
        heard.append(data)
        reply.end_within(0.03)
        return True

    async with asyncio.timeout(20), upstream.open(call(up)) as reply:
        assert await reply.feed(take) is False
    assert heard[-1] == b""
    assert heard.count(b"") == 1
