"""The WebSocket way to providers on a bad day, over real sockets: what is mended unseen, and what never is."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from tailrace.schema.errors import ProviderError
from tailrace.testing.moves import (
    Burst,
    Call,
    Close,
    Cut,
    Gate,
    Handshake,
    HttpError,
    KeepAlive,
    Paced,
    Pause,
    Raw,
    Reasoning,
    Stall,
    Text,
)
from tailrace.testing.upstream import ScriptedUpstream
from tailrace.testing.websocket import CONNECTION_LIMIT
from tailrace.upstream.http import Timeouts
from tailrace.upstream.socket_policy import MOVES, SocketPolicy
from tests.support.talking import LIMITS, Talk, frame, soon, ways_of, ways_with

MALFORMED = Raw('{"type": "response.output_te')
OTHERS = [
    frame("response.in_progress", sequence_number=40 + number, response={"id": f"resp_of_another_{number}"})
    for number in range(2)
]
BACKWARDS = [frame("response.in_progress", sequence_number=number) for number in (70, 60)]
# Where in the answer it happens, and whether a reader has seen anything by then.
PLACES = {
    "before anything": ((), False),
    "after text": ((Text("so far"),), True),
    "after reasoning": ((Reasoning("hm"),), True),
    "after a tool call": ((Call("look", '{"q": 1}'),), True),
}
FAULTS = {
    "cut": [Cut()],
    "closed": [Close(1011)],
    "malformed": [MALFORMED],
    "another answer's frame": OTHERS,
    "out of order": BACKWARDS,
    "silence": [Stall()],
}


@pytest.fixture
def up(upstream):
    """Short for what each test scripts."""
    return upstream


async def failing(asking: Awaitable[object]) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await asyncio.wait_for(asking, 30)
    return caught.value


# --- no socket to be had ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 426, 429, 500, 503, 200])
async def test_a_refused_handshake_goes_over_http_at_once(up, ways, status):
    """In the same call, with one handshake; and the session stays with HTTP, alone of all."""
    up.handshakes.append(Handshake(status=status))
    up.enqueue([Text("over http")])
    talk = Talk(up, ways).say("hi")
    assert await talk.ask() == "over http"
    await talk.say("again").ask()
    assert len(up.sockets) == 1
    assert ways_of(up) == ["http", "http"]
    assert "previous_response_id" not in up.requests[1].body
    await Talk(up, ways, thread="two").say("hi").ask()
    assert ways_of(up)[2] == "socket"


async def test_a_handshake_that_takes_too_long_is_not_waited_for(up):
    async with ways_with(connect_s=1.0) as ways:
        up.handshakes.append(Handshake(stalls=True))
        assert await Talk(up, ways).say("hi").ask()
        assert ways_of(up) == ["http"]
        await soon(up.sockets[0].closed)


async def test_a_slow_handshake_is_waited_for(up, ways):
    up.handshakes.append(Handshake(gate="hands"))
    asking = asyncio.create_task(Talk(up, ways).say("hi").ask())
    await soon(up.gate("hands").reached)
    up.gate("hands").open()
    await asking
    assert ways_of(up) == ["socket"]


async def test_a_provider_that_is_not_there_is_an_error_of_http(ways):
    """Neither way leads there: the error is HTTP's own, so that the ladder treats it as ever."""
    async with ScriptedUpstream() as gone:
        talk = Talk(gone, ways).say("hi")
    error = await failing(talk.ask())
    assert (error.code, error.retryable) == ("connection", True)


@asynccontextmanager
async def raw_server(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]):
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_server_that_hangs_up_on_handshakes_is_asked_over_http(up, ways):
    """A proxy that knows no upgrades, say."""
    talk = Talk(up, ways).say("hi")
    served = 0

    async def proxy(reader, writer):
        nonlocal served
        served += 1
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"GET"):
            there, back = await asyncio.open_connection("127.0.0.1", up._port)
            back.write(head.replace(b"keep-alive", b"close"))
            pump = asyncio.create_task(_copy(reader, back))
            await _copy(there, writer)
            pump.cancel()
            back.close()
        writer.close()

    async def _copy(source, sink):
        while piece := await source.read(65536):
            sink.write(piece)
            await sink.drain()

    async with raw_server(proxy) as port:
        url = f"http://127.0.0.1:{port}/v1/responses"
        assert await talk.ask(change=lambda call: replace(call, url=url))
    assert ways_of(up) == ["http"]


# --- a socket that fails ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", FAULTS)
async def test_what_has_been_shown_is_never_made_good_unseen(up, fault, place):
    """Before anything was shown the answer is asked for again, and comes whole; after that the failure is the reader's
    to see, the session goes on over HTTP, and the provider was asked once."""
    before, shown = PLACES[place]
    up.enqueue([*before, *FAULTS[fault], Text(" more"), Stall()])
    up.script = lambda asked: [Text("whole")]
    limit = 0.4 if fault == "silence" else 20.0
    async with ways_with(first_event_s=limit, idle_s=limit) as ways:
        talk = Talk(up, ways).say("hi")
        taken: list[bytes] = []
        if not shown:
            assert await asyncio.wait_for(talk.ask(taken), 30) == "whole"
            assert len(up.requests) == 2
        else:
            error = await failing(talk.ask(taken))
            assert error.code in {"stream_interrupted", "timeout"}
            assert error.retryable
            assert error.details["transport"] == "websocket"
            assert len(up.requests) == 1
            assert await talk.ask() == "whole"
            assert ways_of(up) == ["socket", "http"]
        assert b"".join(taken).count(b'"type":"response.created"') == 1
        await soon(up.sockets[0].closed)


async def test_a_socket_that_keeps_failing_is_given_up_for_http(up):
    """Within one budget: so many more sockets, then HTTP, once; nothing of the failed tries reaches the reader."""
    async with ways_with(retries=2) as ways:
        up.enqueue([Cut()], [Close(1006 - 6)], [Cut()], [Text("at last")])
        taken: list[bytes] = []
        assert await Talk(up, ways).say("hi").ask(taken) == "at last"
        assert ways_of(up) == ["socket", "socket", "socket", "http"]
        assert b"".join(taken).count(b'"type":"response.created"') == 1


async def test_a_malformed_frame_goes_over_http_at_once(up, ways):
    up.enqueue([MALFORMED, Stall()], [Text("plain")])
    assert await Talk(up, ways).say("hi").ask() == "plain"
    assert ways_of(up) == ["socket", "http"]


async def test_the_end_of_an_answer_before_an_eager_close_is_a_success(up, ways):
    """What was queued before the failure is heard first."""
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "all of it"}]}
    frames = [
        frame("response.created", sequence_number=0, response={"id": "resp_x"}),
        frame("response.output_item.done", sequence_number=1, output_index=0, item=message),
        frame("response.completed", sequence_number=2, response={"id": "resp_x", "status": "completed", "output": []}),
    ]
    up.enqueue([*frames, Cut()], [Text("next")])
    talk = Talk(up, ways).say("hi")
    assert await talk.ask() == "all of it"
    assert await talk.say("again").ask() == "next"
    assert "previous_response_id" not in up.requests[1].body


async def test_asides_are_not_the_answer(up, ways):
    """Signs of life and metadata of a try that failed are not shown, and do not keep it from being made good."""
    aside = frame("codex.rate_limits", primary={"used_percent": 7})
    up.enqueue([KeepAlive(), aside, frame("response.metadata", a=1), Cut()], [aside, Text("whole")])
    taken: list[bytes] = []
    assert await Talk(up, ways).say("hi").ask(taken) == "whole"
    said = b"".join(taken)
    assert said.count(b"codex.rate_limits") == 1
    assert b"keepalive" not in said
    assert b"response.metadata" not in said


async def test_asides_without_end_are_not_kept(up):
    async with ways_with(queue_frames=50) as ways:
        up.enqueue([*[frame("response.metadata", a=1)] * 60, Gate("never")], [Text("whole")])
        assert await Talk(up, ways).say("hi").ask() == "whole"
        await soon(up.sockets[0].closed)


async def test_http_that_fails_too_is_the_error_that_is_told(up):
    """With its status and hints, as without any socket."""
    async with ways_with(retries=0) as ways:
        up.enqueue([Cut()], [HttpError(503, retry_after=3)])
        error = await failing(Talk(up, ways).say("hi").ask())
        assert (error.code, error.status, error.retry_after) == ("overloaded", 503, 3)


# --- the connection's own limit -----------------------------------------------------------------------------------


async def test_at_the_connection_limit_a_new_socket_is_taken(up, ways):
    """With the whole conversation: the new one knows nothing."""
    talk = Talk(up, ways)
    up.enqueue([Text("one")], CONNECTION_LIMIT, [Text("two")])
    await talk.say("hi").ask()
    assert await talk.say("again").ask() == "two"
    assert len(up.sockets) == 2
    assert ["previous_response_id" in request.body for request in up.requests] == [False, True, False]


async def test_the_connection_limit_may_be_the_accounts(up):
    """So that sockets are not asked for without end: a budget of two makes three, then HTTP."""
    async with ways_with(retries=2) as ways:
        up.enqueue(CONNECTION_LIMIT, CONNECTION_LIMIT, CONNECTION_LIMIT, [Text("over http")])
        assert await Talk(up, ways).say("hi").ask() == "over http"
        assert ways_of(up) == ["socket", "socket", "socket", "http"]


async def test_a_connection_limit_after_a_tool_call_is_told(up, ways):
    """Somebody may be acting on the call."""
    up.enqueue([Call("look"), *CONNECTION_LIMIT])
    error = await failing(Talk(up, ways).say("hi").ask())
    assert (error.code, error.retryable) == ("rate_limited", True)
    assert len(up.requests) == 1
    await soon(up.sockets[0].closed)


async def test_an_error_on_an_idle_socket_ends_it(up, ways):
    """Nobody asked: the next call takes another one."""
    talk = Talk(up, ways).say("hi")
    await talk.ask()
    await up.hang_up(CONNECTION_LIMIT[0].text)
    await soon(up.sockets[0].closed)
    await talk.say("again").ask()
    assert len(up.sockets) == 2


# --- silence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "watchdog"),
    [([Text("a"), Stall()], "idle"), ([Text("a"), *(KeepAlive(), Pause(0.05)) * 30], "idle")],
    ids=["silence", "keep-alives"],
)
async def test_keep_alives_are_no_progress(up, script, watchdog):
    """The limit that has passed is named."""
    async with ways_with(idle_s=0.3) as ways:
        up.enqueue(script)
        error = await failing(Talk(up, ways).say("hi").ask())
        assert (error.code, error.details["watchdog"]) == ("timeout", watchdog)


async def test_metadata_is_no_progress(up):
    async with ways_with(idle_s=0.3) as ways:
        aside = frame("response.metadata", metadata={"a": 1})
        up.enqueue([Text("a"), *(aside, Pause(0.05)) * 30])
        error = await failing(Talk(up, ways).say("hi").ask())
        assert error.details["watchdog"] == "idle"


async def test_without_a_first_event_http_is_tried(up):
    """Some proxies take a handshake and pass nothing on."""
    async with ways_with(first_event_s=0.2) as ways:
        up.enqueue([Stall()], [Text("over http")])
        assert await Talk(up, ways).say("hi").ask() == "over http"
        assert ways_of(up) == ["socket", "http"]


async def test_the_total_limit_ends_the_call_whichever_way_it_takes(up):
    async with ways_with(retries=100, retry_wait_s=0.05) as ways:
        up.script = lambda asked: [Cut()]
        short = Timeouts(connect_s=5, first_event_s=5, idle_s=5, total_s=0.5)
        error = await failing(Talk(up, ways, timeouts=short).say("hi").ask())
        assert error.details == {"watchdog": "total"}
        up.script = lambda asked: [Text("a"), Stall()]
        error = await failing(Talk(up, ways, thread="two", timeouts=short).say("hi").ask())
        assert error.details == {"watchdog": "total"}
        await soon(up.sockets[-1].closed)


async def test_a_peer_that_does_not_answer_pings_is_gone(up):
    """Judged by what comes in, not by pongs alone; then another socket is taken."""
    async with ways_with(ping_s=0.05, pong_s=0.2) as ways:
        up.handshakes.append(Handshake(pongs=False))
        up.enqueue([Stall()], [Text("alive")])
        assert await Talk(up, ways).say("hi").ask() == "alive"
        assert ways_of(up) == ["socket", "socket"]
        assert up.sockets[0].pings >= 2


async def test_a_peer_that_is_silent_and_answers_pings_is_waited_for(up):
    async with ways_with(ping_s=0.02, pong_s=0.5) as ways:
        up.enqueue([Gate("g"), Text("alive")])
        asking = asyncio.create_task(Talk(up, ways).say("hi").ask())
        while not up.sockets or up.sockets[0].pings < 35:
            await asyncio.sleep(0.01)
        up.gate("g").open()
        assert await asking == "alive"
        assert len(up.sockets) == 1


async def test_a_peer_that_sends_and_never_pongs_is_there(up):
    async with ways_with(ping_s=0.02, pong_s=0.5) as ways:
        up.handshakes.append(Handshake(pongs=False))
        up.enqueue([Paced(0.01, (Burst(90),))])
        assert (await Talk(up, ways).say("hi").ask()).split()[-1] == "90"
        assert len(up.sockets) == 1


async def test_an_idle_socket_is_not_pinged(up):
    async with ways_with(ping_s=0.02) as ways:
        await Talk(up, ways).say("hi").ask()
        pings = up.sockets[0].pings
        await asyncio.sleep(0.2)
        assert up.sockets[0].pings == pings


# --- a slow reader ------------------------------------------------------------------------------------------------


async def test_more_frames_than_may_wait_fail_the_call(up):
    """Memory has a bound: whoever does not read loses the answer, and is told that another try may help."""
    async with ways_with(queue_frames=50) as ways:
        up.enqueue([Text("a"), Gate("g"), Burst(500)])
        call = Talk(up, ways).say("hi").call()

        async def dawdle():
            async with ways.open(call, LIMITS) as reply:
                await reply.feed(lambda data: b'"a"' not in data)
                up.gate("g").open()
                await soon(up.sockets[0].closed)
                while await reply.feed(lambda data: True):
                    pass

        error = await failing(dawdle())
        assert (error.code, error.details["trouble"], error.retryable) == ("stream_interrupted", "overflow", True)


async def test_what_arrives_while_nobody_reads_waits(up, ways):
    """In order, up to the end; what comes after "enough" waits for the next `feed`."""
    up.enqueue([Burst(300)])
    call = Talk(up, ways).say("hi").call()
    pieces: list[bytes] = []
    async with ways.open(call, LIMITS) as reply:

        def one(data: bytes) -> bool:
            pieces.append(data)
            return False

        while await reply.feed(one):
            await asyncio.sleep(0.001)
    body = b"".join(pieces)
    assert body.index(b'"1 "') < body.index(b'"299 "') < body.index(b"response.completed")
    assert pieces[-1] == b""


async def test_what_the_taker_raises_is_raised_where_feed_was_called(up, ways):
    """Also where it was called back by the loop; the socket is closed."""
    up.enqueue([Text("a"), Gate("g"), Text("zebra"), Stall()])
    call = Talk(up, ways).say("hi").call()

    def take(data: bytes) -> bool:
        if b"zebra" in data or b'"z"' in data:
            raise LookupError("no such thing")
        return True

    async def fails():
        async with ways.open(call, LIMITS) as reply:
            await reply.feed(take)

    task = asyncio.create_task(fails())
    await soon(up.gate("g").reached)
    up.gate("g").open()
    with pytest.raises(LookupError, match="no such thing"):
        await asyncio.wait_for(task, 20)
    await soon(up.sockets[0].closed)


# --- leaving ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["handshake", "before the answer", "in the answer", "between sockets", "over http"])
async def test_whoever_leaves_closes_what_was_opened(up, moment):
    """At every moment: no socket, no request and no task is left."""
    async with ways_with(retry_wait_s=60.0) as ways:
        if moment == "handshake":
            up.handshakes.append(Handshake(gate="g"))
        elif moment == "over http":
            up.handshakes.append(Handshake(status=426))
        script = {"in the answer": [Text("a"), Gate("g")], "between sockets": [Cut()]}.get(moment, [Gate("g")])
        up.enqueue(script)
        asking = asyncio.create_task(Talk(up, ways).say("hi").ask())
        if moment == "between sockets":
            await up.received()
            await soon(up.sockets[0].closed)
        else:
            await soon(up.gate("g").reached)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await soon(up.sockets[0].closed)
        if up.requests:
            await soon(up.requests[0].disconnected)


async def test_a_call_that_was_called_off_before_it_began_opens_nothing(up, ways):
    asking = asyncio.create_task(Talk(up, ways).say("hi").ask())
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert up.sockets == []


async def test_whoever_leaves_at_any_moment_leaves_nothing(up):
    """Cancelled after ever more turns of the loop: no task of ours outlives it, and every socket is closed."""
    async with ways_with(reuse_s=0.05) as ways:
        up.script = lambda asked: [Text("a"), Call("look", "{}"), Pause(0.001), Text("b")]
        for turns in range(0, 120, 4):
            asking = asyncio.create_task(Talk(up, ways, thread=f"thread-{turns}").say("hi").ask())
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait({asking})
        for socket in up.sockets:
            await soon(socket.closed)


async def test_many_conversations_on_a_bad_day(up):
    """At once, with faults in between: each answer is whole or an error, never doubled; when the day is better all are
    whole; and nothing is left open."""
    turns = 4
    faults = itertools.cycle([[], [Cut()], [Close(1011)], [MALFORMED], [*CONNECTION_LIMIT], [Text("x"), Cut()]])

    def script(asked):
        said = asked.user_texts[-1]
        fault = [] if said.endswith(f".{turns - 1}") else next(faults)
        return [*fault, Text(f"<{said}>")]

    async def converse(number: int) -> list[str]:
        talk = Talk(up, ways, thread=f"thread-{number}")
        said = []
        for turn in range(turns):
            try:
                said.append(await talk.say(f"{number}.{turn}").ask())
            except ProviderError as error:
                said.append(error.code)
        return said

    up.script = script
    async with ways_with() as ways:
        answers = await asyncio.wait_for(asyncio.gather(*map(converse, range(20))), 60)
    for number, said in enumerate(answers):
        allowed = {"stream_interrupted", "rate_limited", "connection"}
        assert all(text in {*allowed, f"<{number}.{turn}>"} for turn, text in enumerate(said))
        assert said[-1] == f"<{number}.{turns - 1}>"
    for socket in up.sockets:
        await soon(socket.closed)


# --- the table ----------------------------------------------------------------------------------------------------


def test_nothing_is_made_good_once_something_was_shown():
    """Whatever has gone wrong, and however often; and nothing for ever."""
    policy = SocketPolicy(retries=5)
    for trouble, move in MOVES.items():
        assert policy.move(trouble, shown=False, tries=1) == move
        assert policy.move(trouble, shown=True, tries=1) == "raise"
        assert policy.move(trouble, shown=False, tries=6) == "http"
    assert [policy.wait(tries, lambda: 0.5) for tries in (1, 2, 5)] == [0.25, 0.5, 1.25]


def test_the_numbers_are_those_of_codex():
    """The defaults (the reference's table of constants)."""
    policy = SocketPolicy()
    assert (policy.connect_s, policy.ping_s, policy.pong_s) == (10, 10, 60)
    assert (policy.queue_frames, policy.reuse_s, policy.idle_s, policy.first_event_s) == (4096, 30, 300, 60)
    assert (policy.retries, policy.retry_wait_s, policy.joins) == (5, 0.5, 3)
