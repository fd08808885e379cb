"""The retry policy: bounded, jittered, and obedient to what the provider asks for."""

import random

from hypothesis import given
from hypothesis import strategies as st

from tailrace.schema.errors import CODES, ProviderError
from tailrace.upstream.retry import RetryPolicy

seconds = st.floats(0, 1000)
policies = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 100),
    base_s=st.floats(0, 100),
    cap_s=st.floats(0, 100),
    total_s=seconds,
)
errors = st.builds(ProviderError, st.sampled_from(sorted(CODES)), st.just("m"), retry_after=st.none() | seconds)
draws = st.floats(0, 1, exclude_max=True)


def no_luck() -> float:
    return 0.0


def delay(policy: RetryPolicy, error: ProviderError, attempt: int = 1, elapsed_s: float = 0.0, draw: float = 0.0):
    return policy.delay(error, attempt=attempt, elapsed_s=elapsed_s, random=lambda: draw)


@given(policies, errors, st.integers(1, 5000), seconds, draws)
def test_a10_a_wait_never_leaves_the_budget_and_never_undercuts_what_was_asked_for(
    policy, error, attempt, elapsed_s, draw
):
    """Whatever the settings: no wait for a hopeless error, none beyond the budget, none shorter than Retry-After."""
    wait = delay(policy, error, attempt, elapsed_s, draw)
    asked = error.retry_after or 0.0
    if not error.retryable or attempt >= policy.attempts or elapsed_s + asked > policy.total_s + 1e-9:
        assert wait is None
    elif wait is not None:
        assert asked <= wait <= asked + policy.cap_s + 1e-9
        assert elapsed_s + wait <= policy.total_s + 1e-6


@given(policies)
def test_a10_tries_are_bounded(policy):
    """A call that always fails ends after `attempts` tries at most."""
    error = ProviderError("overloaded", "m")
    tries, elapsed = 1, 0.0
    while (wait := delay(policy, error, tries, elapsed, 0.5)) is not None:
        elapsed += wait
        tries += 1
    assert tries <= policy.attempts


def test_a10_retry_after_seven_waits_at_least_seven_seconds_with_jitter():
    """A provider that says 7 is not asked before 7 seconds are over, and not by all callers at once."""
    error = ProviderError("rate_limited", "m", retry_after=7)
    chance = random.Random(1)
    waits = [RetryPolicy().delay(error, attempt=1, elapsed_s=0, random=chance.random) for _ in range(50)]
    assert all(wait is not None and 7 <= wait <= 7.5 for wait in waits)
    assert len(set(waits)) > 40


def test_full_jitter_doubles_its_range_up_to_the_cap():
    """The range of the n-th wait is base times 2^(n-1), then the cap; it begins at nothing."""
    error = ProviderError("server_error", "m")
    policy = RetryPolicy(attempts=100, total_s=1e9)
    almost = 1 - 2**-53
    upper = [policy.delay(error, attempt=n, elapsed_s=0, random=lambda: almost) for n in (1, 2, 3, 6, 7, 99)]
    assert [round(wait, 6) for wait in upper if wait is not None] == [0.5, 1, 2, 16, 20, 20]
    assert policy.delay(error, attempt=7, elapsed_s=0, random=no_luck) == 0


def test_a_retry_after_beyond_the_budget_is_not_waited_for():
    """Waiting less than asked would be of no use, waiting longer than the budget is not allowed."""
    policy = RetryPolicy(total_s=10)
    error = ProviderError("rate_limited", "m", retry_after=8)
    assert delay(policy, error, elapsed_s=1) == 8
    assert delay(policy, error, elapsed_s=3) is None


def test_hopeless_errors_are_not_repeated():
    """A wrong key stays wrong."""
    assert delay(RetryPolicy(), ProviderError("authentication", "m")) is None
    assert delay(RetryPolicy(), ProviderError("rate_limited", "m"), draw=0.5) == 0.25


@given(policies, errors, st.integers(1, 100), seconds)
def test_a_try_with_another_key_need_not_wait_but_counts(policy, error, attempt, elapsed_s):
    """Whatever the error and whatever it asks for: at once, within the budget of tries and time."""
    wait = policy.delay(error, attempt=attempt, elapsed_s=elapsed_s, random=no_luck, elsewhere=True)
    assert wait == (0.0 if attempt < policy.attempts and elapsed_s <= policy.total_s else None)
