"""Which key a call goes out with: the policy's laws, and its state over calls that fail."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tailrace.schema.errors import CODES, ProviderError
from tailrace.upstream.keys import REST_S, Rest, another, choose, rest_of
from tailrace.upstream.registry import provider_from_table
from tailrace.upstream.traffic import Traffic

NOW = 1_800_000_000_000
LOCAL = {"wire": "openai-chat-completions", "base_url": "http://127.0.0.1:8000/v1"}
KEYS = ["sk-first-secret", "sk-second-secret", "sk-third-secret"]

counts = st.integers(1, 8)
positions = st.integers(0, 7)
rests = st.dictionaries(positions, st.builds(Rest, st.integers(NOW - 10, NOW + 10), st.just("quota")))
tried = st.sets(positions)
threads = st.text(max_size=8)


def error(code: str, message: str = "m", retry_after: float | None = None) -> ProviderError:
    return ProviderError(code, message, retry_after=retry_after)


def rest(failed: ProviderError, draw: float = 0.0) -> tuple[str, float] | None:
    found = rest_of(failed, NOW, lambda: draw)
    return (found.reason, (found.until - NOW) / 1000) if found else None


# --- the policy ---------------------------------------------------------------------------------------------------


@given(counts, rests, tried, threads)
def test_a_key_that_rests_is_used_only_where_all_rest(count, rests, tried, thread):
    """And then it is the one whose rest ends first. One that was tried comes after one that was not."""
    chosen = choose(count, rests, tried, thread, NOW)
    left = [max(rests[position].until - NOW, 0) if position in rests else 0 for position in range(count)]
    assert left[chosen] == min(left)
    fresh = [position for position in range(count) if left[position] == min(left) and position not in tried]
    assert chosen in fresh or not fresh


@given(counts, rests, threads)
def test_a_thread_keeps_its_key(count, rests, thread):
    """As long as that one does not rest, whatever becomes of the others."""
    chosen = choose(count, {}, (), thread, NOW)
    others = {position: rest for position, rest in rests.items() if position != chosen}
    assert choose(count, others, (), thread, NOW) == chosen


def test_threads_are_spread_over_the_keys():
    """Each key gets its share, within what chance allows."""
    used = [choose(4, {}, (), f"thread_{number}", NOW) for number in range(400)]
    assert all(60 < used.count(position) < 140 for position in range(4))


@given(st.builds(error, st.sampled_from(sorted(CODES)), st.just("m")), counts, rests, tried)
def test_another_key_is_worth_it_where_one_is_fresh_and_may_be_spared(failed, count, rests, tried):
    """Only for what is refused to a key, and only as long as there are keys: so rotation ends."""
    fresh = [p for p in range(count) if p not in tried and (p not in rests or rests[p].until <= NOW)]
    of_the_key = failed.code in {"rate_limited", "quota_exceeded", "authentication", "permission"}
    assert another(count, rests, tried, failed, NOW) == (of_the_key and bool(fresh))


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        (error("rate_limited"), ("rate_limit", 30.0)),
        (error("rate_limited", retry_after=7.0), ("rate_limit", 7.0)),
        (error("rate_limited", retry_after=0.0), ("rate_limit", 0.0)),
        (error("rate_limited", retry_after=300.0), ("quota", 1800.0)),
        (error("rate_limited", "Too many concurrent requests"), ("concurrency", 5.0)),
        (error("rate_limited", "max parallel requests limit"), ("concurrency", 5.0)),
        (error("rate_limited", "Max parallel request limit reached."), ("concurrency", 5.0)),
        (error("rate_limited", "Max parallel request limit reached Hit limit for x. rpm: 4"), ("rate_limit", 30.0)),
        (error("quota_exceeded"), ("quota", 1800.0)),
        (error("quota_exceeded", retry_after=86400.0), ("quota", 86400.0)),
        (error("authentication"), ("authentication", 1800.0)),
        (error("overloaded"), ("capacity", 60.0)),
        (error("server_error"), ("server_error", 20.0)),
        (error("permission"), None),
        (error("invalid_request"), None),
        (error("connection"), None),
        (error("timeout"), None),
    ],
)
def test_how_long_a_key_rests(failed, expected):
    """By reason (§4.3), or as long as the provider asked for; not at all for what is not the key's."""
    assert rest(failed, draw=0.5) == expected


def test_every_reason_has_a_time():
    """And each is one that an error can give."""
    found = {rest(error(code, "parallel requests"))[0] for code in CODES if rest(error(code, "parallel requests"))}
    assert found | {"rate_limit"} == set(REST_S)


# --- its state ----------------------------------------------------------------------------------------------------


class Clock:
    """Milliseconds, as a test sets them."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def traffic(clock: Clock, **table):
    provider = provider_from_table("one", {**LOCAL, "api_key_env": "ONE", **table})
    return Traffic({"ONE": ",".join(KEYS)}, clock), provider


async def attempt(turn, failed: ProviderError | None = None) -> str | None:
    with suppress(ProviderError):
        async with turn.key(1.0) as key:
            if failed is not None:
                raise failed
    return key


async def test_a_refused_key_rests_and_comes_back():
    """The next attempt has another; after its time the thread has its own key again."""
    clock = Clock()
    state, provider = traffic(clock)
    refused = error("rate_limited", retry_after=10.0)
    turn = state.turn(provider, "t")
    own = await attempt(turn, refused)
    assert turn.elsewhere(refused)
    assert await attempt(turn) != own
    report = state.report(provider)
    assert report.keys == 3
    assert report.resting == {KEYS.index(own) + 1: Rest(NOW + 10_000, "rate_limit")}
    clock.now += 10_000
    assert state.report(provider).resting == {}
    assert await attempt(state.turn(provider, "t")) == own


async def test_rotation_ends_when_every_key_was_tried():
    """Then it is the retry ladder's turn, which waits."""
    state, provider = traffic(Clock())
    turn = state.turn(provider, "t")
    refused = error("permission")
    used = [await attempt(turn, refused) for _ in KEYS]
    assert sorted(used) == sorted(KEYS)
    assert not turn.elsewhere(refused)


async def test_a_key_that_works_rests_no_longer():
    """A rest is a guess; where all rest, one is tried, and if it works the guess was wrong."""
    state, provider = traffic(Clock())
    for _ in KEYS:
        await attempt(state.turn(provider, "t"), error("authentication"))
    assert len(state.report(provider).resting) == 3
    await attempt(state.turn(provider, "t"))
    assert len(state.report(provider).resting) == 2


async def test_only_so_many_calls_are_under_way():
    """The next one waits for a place; one that fails, or is called off, leaves its own."""
    state, provider = traffic(Clock(), max_in_flight=2)
    inside, leave = asyncio.Semaphore(0), asyncio.Event()

    async def call():
        async with state.turn(provider, "t").key(5.0):
            inside.release()
            await leave.wait()

    calls = [asyncio.create_task(call()) for _ in range(3)]
    for _ in range(2):
        await inside.acquire()
    assert state.report(provider).in_flight == 2
    with pytest.raises(ProviderError) as late:
        async with state.turn(provider, "t").key(0.01):
            pass
    assert (late.value.code, late.value.details) == ("timeout", {"watchdog": "in_flight"})
    calls[0].cancel()
    await inside.acquire()  # the third one has the place of the first
    assert state.report(provider).in_flight == 2
    leave.set()
    await asyncio.gather(*calls, return_exceptions=True)
    assert state.report(provider).in_flight == 0


async def test_no_key_is_shown():
    """Not by a turn, a report, a traffic or a log line, whatever happened."""
    state, provider = traffic(Clock())
    turn = state.turn(provider, "t")
    with capture_logs() as lines:
        await attempt(turn, error("authentication"))
    told = f"{turn!r} {turn} {state!r} {state.report(provider)!r} {lines}"
    assert not any(key in told for key in KEYS)
    assert [line["key"] for line in lines] == list(state.report(provider).resting)  # its position


async def test_what_is_made_ready_has_the_key_that_the_call_will_have():
    """Whichever thread it is for, and whichever keys rest; asking takes none."""
    traffic = Traffic({"P": ",".join(KEYS)}, lambda: NOW)
    provider = provider_from_table("p", {**LOCAL, "api_key_env": "P"})
    taken = set()
    for number in range(30):
        expected = traffic.turn(provider, f"thread-{number}").next_key()
        with suppress(ProviderError):
            async with traffic.turn(provider, f"thread-{number}").key(1.0) as key:
                assert key == expected
                taken.add(key)
                if number == 15:
                    raise error("rate_limited")
    assert taken == set(KEYS)
    assert Traffic({}, lambda: NOW).turn(provider, "thread").next_key() is None
