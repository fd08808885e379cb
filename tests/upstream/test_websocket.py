"""The WebSocket way to providers, over real sockets: the good way, sockets that are kept, and handshakes."""

import asyncio
import gc

import pytest
from msgspec.structs import replace

from tailrace.adapters.base import DecodeContext
from tailrace.adapters.openai_responses.decode import ResponsesDecoder
from tailrace.schema.errors import ProviderError
from tailrace.schema.request import Generation
from tailrace.testing.moves import (
    Burst,
    Call,
    Fail,
    Finish,
    Gate,
    Handshake,
    Headers,
    HttpError,
    Reasoning,
    Stall,
    Text,
)
from tailrace.upstream.link import Link
from tests.support.talking import LIMITS, SECRET, Talk, frame, hear, soon, ways_of, ways_with

TURN_STATE = {"x-codex-turn-state": "ts-123", "x-models-etag": '"e1"'}


@pytest.fixture
def up(upstream):
    """Short for what each test scripts."""
    return upstream


# --- an answer ----------------------------------------------------------------------------------------------------


async def test_an_answer_over_a_socket_is_the_answer_over_http(up, ways):
    """The same script, the same items: frames carry the very events of SSE."""
    script = [Reasoning("hm"), Text("hello"), Call("look", '{"q": 1}', call_id="c1")]
    up.enqueue(script, script)
    over_socket, over_http = Talk(up, ways).say("hi"), Talk(up, ways, thread="two").say("hi")
    assert await over_socket.ask() == "hello"
    assert await over_http.ask(change=lambda call: replace(call, session=None)) == "hello"
    assert ways_of(up) == ["socket", "http"]
    shapes = [
        [replace(item, id="", correlation_id=None) for item in talk.items[1:]] for talk in (over_socket, over_http)
    ]
    assert shapes[0] == shapes[1]


async def test_a_call_without_a_session_goes_over_http(up, ways):
    await Talk(up, ways).say("hi").ask(change=lambda call: replace(call, session=None))
    assert up.sockets == []


async def test_a_burst_comes_whole_and_in_order(up, ways):
    """More frames than the queue holds, one network read after another."""
    up.enqueue([Burst(6000)])
    said = await Talk(up, ways).say("hi").ask()
    assert said.split() == [str(number) for number in range(1, 6001)]


async def test_what_the_provider_refuses_is_a_typed_error(up, ways):
    """Status, code and Retry-After of an error frame; the socket is good for another request."""
    talk = Talk(up, ways)
    up.enqueue([HttpError(429, retry_after=7)], [Text("now")])
    with pytest.raises(ProviderError) as caught:
        await talk.say("hi").ask()
    assert (caught.value.code, caught.value.status, caught.value.retry_after) == ("rate_limited", 429, 7)
    assert await talk.ask() == "now"
    assert len(up.sockets) == 1


async def test_a_key_that_is_echoed_in_an_error_is_hidden(up, ways):
    up.enqueue([frame("error", status=401, error={"message": f"bad key {SECRET}"})])
    with pytest.raises(ProviderError) as caught:
        await Talk(up, ways).say("hi").ask()
    assert caught.value.code == "authentication"
    assert SECRET not in str(caught.value.info())


# --- going on from the response before ----------------------------------------------------------------------------


async def test_a_second_request_uses_the_socket_and_says_only_what_is_new(up, ways):
    talk = Talk(up, ways)
    up.enqueue([Reasoning("hm"), Text("hello"), Call("look", '{"q": 1}')], [Text("so it is")], [Text("bye")])
    await talk.say("hi").ask()
    assert await talk.answer("42").ask() == "so it is"
    assert await talk.say("and?").ask() == "bye"
    first, second, third = (request.body for request in up.requests)
    assert [item["type"] for item in second["input"]] == ["function_call_output"]
    assert [item["role"] for item in third["input"]] == ["user"]
    assert "previous_response_id" not in first
    assert second["previous_response_id"] != third["previous_response_id"]
    assert first.keys() | {"previous_response_id"} == second.keys()
    assert len(up.sockets) == 1


@pytest.mark.parametrize("change", ["option", "edit", "nothing new"])
async def test_a_conversation_that_has_gone_another_way_is_said_whole(up, ways, change):
    """On the same socket; what the provider said of the turn is forgotten, and the next request goes on again."""
    talk = Talk(up, ways)
    up.handshakes.append(Handshake(headers=TURN_STATE))
    await talk.say("remember me").ask()
    if change == "option":
        talk.generation = Generation(temperature=0.5)
        talk.say("and now?")
    elif change == "edit":
        talk.items[0] = replace(talk.items[0], content="remember something else")
        talk.say("and now?")
    else:
        talk.items.pop()
    await talk.ask()
    whole = up.requests[1].body
    assert "previous_response_id" not in whole
    assert len(whole["input"]) == len(talk.items) - 1
    await talk.say("and then?").ask()
    assert "previous_response_id" in up.requests[2].body
    assert len(up.sockets) == 1


@pytest.mark.parametrize("ending", ["incomplete", "failed", "error"])
async def test_only_a_completed_response_is_gone_on_from(up, ways, ending):
    """Never one that hit its limit or failed; the socket is kept."""
    talk = Talk(up, ways).say("hi")
    ends = {"incomplete": [Text("half"), Finish("length")], "failed": [Text("half"), Fail()], "error": [HttpError(500)]}
    up.enqueue(ends[ending], [Text("whole")])
    if ending == "incomplete":
        await talk.ask()
        talk.say("go on")
    else:
        with pytest.raises(ProviderError):
            await talk.ask()
    assert await talk.ask() == "whole"
    assert "previous_response_id" not in up.requests[1].body
    assert len(up.sockets) == 1


async def test_a_caller_that_names_the_response_before_is_left_alone(up, ways):
    """Its own `previous_response_id` is sent as it is, and a refusal is its to hear."""
    generation = Generation(extra={"openai-responses": {"previous_response_id": "resp_mine"}})
    with pytest.raises(ProviderError) as caught:
        await Talk(up, ways, generation=generation).say("hi").ask()
    assert caught.value.code == "not_found"
    assert [request.body["previous_response_id"] for request in up.requests] == ["resp_mine"]


async def test_a_response_that_is_forgotten_is_replaced_by_the_whole_conversation(up, ways):
    """On the same socket, with nothing shown; the reader hears one answer."""
    talk = Talk(up, ways)
    up.enqueue([Text("one")], [Text("two")], [Text("three")])
    await talk.say("hi").ask()
    up.sockets[0].kept.clear()
    taken: list[bytes] = []
    assert await talk.say("again").ask(taken) == "two"
    assert b"previous_response_not_found" not in b"".join(taken)
    assert ["previous_response_id" in request.body for request in up.requests] == [False, True, False]
    await talk.say("more").ask()
    assert "previous_response_id" in up.requests[3].body
    assert len(up.sockets) == 1


@pytest.mark.parametrize(
    "error",
    [
        frame("error", status=400, error={"message": "Unsupported parameter: previous_response_id is not supported"}),
        frame("error", code="previous_response_not_found", message="gone"),
        frame("response.failed", response={"error": {"message": "The previous response has expired."}}),
    ],
    ids=["as a parameter", "bare", "as a response"],
)
async def test_endpoints_say_in_many_ways_that_they_forgot(up, ways, error):
    talk = Talk(up, ways)
    up.enqueue([Text("one")], [replace(error, last=True)], [Text("two")])
    await talk.say("hi").ask()
    assert await asyncio.wait_for(talk.say("again").ask(), 20) == "two"


async def test_a_session_that_is_forgotten_three_times_in_a_row_says_all_from_then_on(up, ways):
    talk = Talk(up, ways).say("hi")
    await talk.ask()
    for number in range(3):
        up.sockets[0].kept.clear()
        await talk.say(f"again {number}").ask()
    await talk.say("and now").ask()
    assert ["previous_response_id" in request.body for request in up.requests] == [False, *[True, False] * 3, False]


# --- which socket -------------------------------------------------------------------------------------------------


async def test_each_conversation_model_and_endpoint_has_a_socket_of_its_own(up, ways):
    for talk in (Talk(up, ways), Talk(up, ways, thread="two"), Talk(up, ways, model="n")):
        await talk.say("hi").ask()
    assert len(up.sockets) == 3


async def test_another_key_is_another_socket(up, ways):
    """The old one is closed, and the reason said; what is known of the conversation is the old key's."""
    talk = Talk(up, ways).say("hi")
    await talk.ask()
    talk.key = "sk-another-0123456789"
    await talk.say("again").ask()
    await soon(up.sockets[0].closed)
    assert (up.sockets[0].close_code, up.sockets[0].close_reason) == (1000, "token-refresh")
    assert len(up.sockets) == 2
    assert "previous_response_id" not in up.requests[1].body


async def test_a_socket_that_has_idled_too_long_is_not_used_again(up):
    """It is closed when its time is up, whether or not anybody comes."""
    async with ways_with(reuse_s=0.3) as ways:
        talk = Talk(up, ways).say("hi")
        await talk.ask()
        await soon(up.sockets[0].closed)
        await talk.say("again").ask()
        assert len(up.sockets) == 2
        assert ways_of(up) == ["socket", "socket"]
        assert "previous_response_id" not in up.requests[1].body


async def test_a_socket_that_the_provider_closed_while_idle_is_replaced(up, ways):
    """Also where an error came first, that nobody had asked for."""
    talk = Talk(up, ways).say("hi")
    up.enqueue([Text("one"), Gate("end")])
    asking = asyncio.create_task(talk.ask())
    await soon(up.gate("end").reached)
    up.gate("end").open()
    await asking
    await up.hang_up()
    await soon(up.sockets[0].closed)
    assert await asyncio.wait_for(talk.say("again").ask(), 20)
    assert len(up.sockets) == 2


async def test_what_still_comes_of_the_answer_before_is_dropped(up, ways):
    """Frames of its id, and frames that count on from it: before the new answer, and among it."""
    talk = Talk(up, ways).say("hi")
    await talk.ask()
    (prior,) = up.sockets[0].kept
    late = frame("response.output_text.delta", sequence_number=9999, output_index=0, delta="LATE")
    again = frame("response.completed", sequence_number=10000, response={"id": prior, "output": []})
    up.enqueue([late, again, Text("fresh"), again, Text("er")])
    assert await talk.say("again").ask() == "fresher"


async def test_one_request_at_a_time_and_a_second_has_a_socket_of_its_own(up, ways):
    """Which does not outlive it: the conversation has one socket to go on with."""
    up.enqueue([Text("slow"), Gate("g")], [Text("quick")])
    slow = Talk(up, ways).say("one")
    asking = asyncio.create_task(slow.ask())
    await soon(up.gate("g").reached)
    assert await Talk(up, ways).say("two").ask() == "quick"
    await soon(up.sockets[1].closed)
    up.gate("g").open()
    assert await asking == "slow"
    await slow.say("more").ask()
    assert [socket.requests for socket in up.sockets] == [2, 1]


async def test_leaving_early_closes_the_socket(up, ways):
    """And the next call begins anew."""
    up.enqueue([Text("a"), Stall()], [Text("b")])
    talk = Talk(up, ways).say("hi")
    asking = asyncio.create_task(talk.ask())
    await up.received()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await soon(up.sockets[0].closed)
    await soon(up.requests[0].disconnected)
    assert await talk.ask() == "b"
    assert ways_of(up) == ["socket", "socket"]


# --- handshakes ---------------------------------------------------------------------------------------------------


async def test_the_handshake_has_the_calls_headers_but_those_of_a_post(up, ways):
    headers = {"content-type": "application/json", "accept": "text/event-stream", "x-api-key": "k", "session-id": "t"}
    await Talk(up, ways).say("hi").ask(change=lambda call: replace(call, headers={**call.headers, **headers}))
    sent = up.sockets[0].headers
    assert sent["openai-beta"] == "responses_websockets=2026-02-06"
    assert sent["authorization"] == "***"
    assert sent["session-id"] == "t"
    assert not {"content-type", "accept", "x-api-key", "cookie"} & sent.keys()


async def test_what_a_handshake_says_is_said_back_within_the_turn(up):
    """Over the next socket and over HTTP; a new turn of the user's forgets where the last one was served."""
    async with ways_with(reuse_s=0.3) as ways:
        talk = Talk(up, ways).say("hi")
        up.handshakes.append(Handshake(headers={**TURN_STATE, "x-other": "o"}))
        up.enqueue([Call("look")], [Call("look")], [Text("c")])
        await talk.ask()
        await soon(up.sockets[0].closed)
        await talk.answer().ask()
        sent = up.sockets[1].headers
        assert {name: sent.get(name) for name in TURN_STATE} == TURN_STATE
        assert "x-other" not in sent
        await soon(up.sockets[1].closed)
        up.handshakes.append(Handshake(status=426))
        await talk.answer().ask()
        over_http = up.requests[2]
        assert not over_http.over_socket
        assert {name: over_http.headers.get(name) for name in TURN_STATE} == TURN_STATE
        await talk.say("something else").ask()
        assert "x-codex-turn-state" not in up.requests[3].headers
        assert up.requests[3].headers["x-models-etag"] == '"e1"'


async def test_what_http_says_is_said_back_too(up, ways):
    """Once an answer was good."""
    up.handshakes.append(Handshake(status=426))
    talk = Talk(up, ways).say("hi")
    up.enqueue([Headers(TURN_STATE), Call("look")], [Text("b")])
    await talk.ask()
    await talk.answer().ask()
    assert "x-codex-turn-state" not in up.requests[0].headers
    assert up.requests[1].headers["x-codex-turn-state"] == "ts-123"


async def test_a_failure_forgets_what_was_said(up, ways):
    up.handshakes.append(Handshake(status=426))
    talk = Talk(up, ways).say("hi")
    up.enqueue([Headers(TURN_STATE), Call("look")], [HttpError(500)], [Text("b")])
    await talk.ask()
    talk.answer()
    with pytest.raises(ProviderError):
        await talk.ask()
    await talk.ask()
    assert ["x-codex-turn-state" in request.headers for request in up.requests] == [False, True, False]


async def test_the_headers_of_each_answer_are_told_once(up, ways):
    """A handshake's to the first call that goes over its socket: the second hears nothing new."""
    up.handshakes.extend([Handshake(headers={"x-told": "handshake"}), Handshake(status=426)])
    up.enqueue([Text("a")], [Text("b")], [Headers({"x-told": "http"}), Text("c")])
    told: list[str | None] = []
    talks = [Talk(up, ways).say("hi")] * 2 + [Talk(up, ways, thread="two").say("hi")]
    for talk in talks:
        decoder = ResponsesDecoder(DecodeContext("p", "m"))
        async with ways.open(talk.call(), LIMITS, lambda headers: told.append(headers.get("x-told"))) as reply:
            await hear(decoder, reply)
    assert ways_of(up) == ["socket", "socket", "http"]
    assert told == ["handshake", "http"]


async def test_a_prewarmed_socket_is_used(up, ways):
    """A handshake and no request; then one socket, two requests, the second says only what is new."""
    talk = Talk(up, ways)
    ways.prewarm(talk.call())
    ways.prewarm(talk.call())
    while not up.sockets:
        await asyncio.sleep(0)
    assert up.requests == []
    await talk.say("hi").ask()
    await talk.say("again").ask()
    assert [socket.requests for socket in up.sockets] == [2]
    assert "previous_response_id" in up.requests[1].body


async def test_a_call_waits_for_the_handshake_that_is_under_way(up, ways):
    up.handshakes.append(Handshake(gate="hands"))
    talk = Talk(up, ways)
    ways.prewarm(talk.call())
    await soon(up.gate("hands").reached)
    asking = asyncio.create_task(talk.say("hi").ask())
    await asyncio.sleep(0.05)
    up.gate("hands").open()
    assert await asking
    assert len(up.sockets) == 1


async def test_a_failed_prewarm_leaves_the_call_to_http(up, ways):
    """At once: nobody knocks a second time."""
    up.handshakes.append(Handshake(status=500))
    talk = Talk(up, ways)
    ways.prewarm(talk.call())
    while not up.sockets:
        await asyncio.sleep(0)
    await soon(up.sockets[0].closed)
    assert await talk.say("hi").ask()
    assert (len(up.sockets), ways_of(up)) == (1, ["http"])


async def test_concurrent_callers_join_one_handshake(up, ways):
    """One of them has the socket then; the others, whose requests cannot wait, one each of their own."""
    up.handshakes.append(Handshake(gate="hands"))
    up.script = lambda asked: [Text(asked.user_texts[-1]), Gate("g")]
    talks = [Talk(up, ways).say(f"number {number}") for number in range(3)]
    asking = [asyncio.create_task(talk.ask()) for talk in talks]
    await soon(up.gate("hands").reached)
    await asyncio.sleep(0.05)
    assert len(up.sockets) == 1
    up.gate("hands").open()
    await up.received(3)
    up.gate("g").open()
    assert await asyncio.gather(*asking) == ["number 0", "number 1", "number 2"]
    assert [socket.requests for socket in up.sockets] == [1, 1, 1]


async def test_a_caller_that_leaves_does_not_close_the_handshake_of_another(up, ways):
    """Neither the first to want it nor a later one; the last to leave calls it off."""
    up.handshakes.extend([Handshake(gate="one"), Handshake(gate="two")])
    first = asyncio.create_task(Talk(up, ways).say("a").ask())
    await soon(up.gate("one").reached)
    second = asyncio.create_task(Talk(up, ways).say("b").ask())
    third = asyncio.create_task(Talk(up, ways).say("c").ask())
    await asyncio.sleep(0.05)
    for leaving in (first, third):
        leaving.cancel()
        await asyncio.wait({leaving})
    assert not up.sockets[0].closed.is_set()
    up.gate("one").open()
    assert await second
    assert len(up.sockets) == 1
    lonely = asyncio.create_task(Talk(up, ways, thread="two").say("d").ask())
    await soon(up.gate("two").reached)
    lonely.cancel()
    await asyncio.wait({lonely})
    await soon(up.sockets[1].closed)
    assert await Talk(up, ways, thread="two").say("e").ask()


async def test_a_new_key_leaves_the_old_ones_handshake_to_those_who_wait_for_it(up, ways):
    up.handshakes.append(Handshake(gate="old"))
    old = asyncio.create_task(Talk(up, ways).say("a").ask())
    await soon(up.gate("old").reached)
    assert await Talk(up, ways, key="sk-another-0123456789").say("b").ask()
    up.gate("old").open()
    assert await old
    await soon(up.sockets[0].closed)


async def test_what_is_remembered_has_a_bound(up):
    """The conversation that has been silent for longest is forgotten, and its socket closed; never one in use."""
    async with ways_with(sessions=2) as ways:
        up.enqueue([Text("a"), Gate("g")])
        busy = asyncio.create_task(Talk(up, ways, thread="busy").say("hi").ask())
        await soon(up.gate("g").reached)
        for thread in ("one", "two", "three"):
            await Talk(up, ways, thread=thread).say("hi").ask()
        await soon(up.sockets[1].closed)
        up.gate("g").open()
        assert await busy == "a"
        assert not up.sockets[3].closed.is_set()


@pytest.mark.parametrize("parting", ["idled too long", "closed by the provider"])
async def test_nothing_is_kept_of_a_socket_that_is_closed(up, parting):
    """A conversation is remembered for much longer, with thousands of others."""
    async with ways_with(reuse_s=0.05 if parting == "idled too long" else 0) as ways:
        await Talk(up, ways).say("hi").ask()
        assert len(links()) == 1
        if parting == "closed by the provider":
            await up.hang_up()
        await soon(up.sockets[0].closed)
        async with asyncio.timeout(20):
            while links():
                await asyncio.sleep(0.01)


def links() -> list[Link]:
    """Those that are referred to."""
    gc.collect()
    return [thing for thing in gc.get_objects() if isinstance(thing, Link)]


async def test_closing_closes_every_socket_and_handshake(up):
    """Idle ones, and prewarms that never came to their end."""
    up.handshakes.extend([Handshake(), Handshake(stalls=True)])
    async with ways_with() as ways:
        await Talk(up, ways).say("hi").ask()
        ways.prewarm(Talk(up, ways, thread="two").call())
        while len(up.sockets) < 2:
            await asyncio.sleep(0)
    for socket in up.sockets:
        await soon(socket.closed)
