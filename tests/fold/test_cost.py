"""What a call costs: worked examples and laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.fold.cost import Long, Price, cost_usd
from tailrace.schema.response import Usage

PRICE = Price(input=3.0, output=15.0, cached=0.3, write=3.75, write_1h=6.0)
counts = st.integers(0, 10**7)


def usage(prompt: int, completion: int = 0, cached: int | None = None, written: int | None = None) -> Usage:
    return Usage(
        prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion, cached_tokens=cached,
        cache_write_tokens=written,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "more", "cost"),
    [
        (usage(1_000_000, 1_000_000), {}, 18.0),
        (usage(1000, 200), {}, 0.006),
        (usage(1_000_000, cached=600_000), {}, 1.38),
        (usage(1_000_000, cached=500_000, written=500_000), {}, 2.025),
        (usage(1_000_000, written=1_000_000), {"written_1h": 400_000}, 4.65),
        (usage(1_000_000, written=1_000_000), {"written_1h": 2_000_000}, 6.0),
        (usage(0), {}, 0.0),
    ],
)
def test_worked_examples(said, more, cost):
    """Cached tokens are a part of the prompt's; what was written for an hour is a part of what was written."""
    assert cost_usd(said, PRICE, **more) == pytest.approx(cost, abs=1e-12)


def test_what_a_price_does_not_say_costs_what_the_input_costs():
    """An hour's writing what other writing does."""
    plain = Price(input=2.0, output=0.0)
    assert cost_usd(usage(1_000_000, cached=400_000, written=400_000), plain) == 2.0
    written = Price(input=2.0, output=0.0, write=4.0)
    assert cost_usd(usage(1_000_000, written=1_000_000), written, written_1h=500_000) == 4.0


def test_a_tier_has_a_factor_and_an_unknown_one_has_none():
    """As in "default" and "auto"."""
    price = Price(input=1.0, output=1.0, tiers={"flex": 0.5, "priority": 2.0})
    said = usage(1_000_000)
    costs = [cost_usd(said, price, tier=tier) for tier in (None, "default", "flex", "priority")]
    assert costs == [1.0, 1.0, 0.5, 2.0]


def test_a_long_prompt_costs_more_from_its_first_token():
    """Input and output by factors of their own, and only above the limit."""
    price = Price(input=1.0, output=10.0, cached=0.1, long=Long(above=200_000, input=2.0, output=1.5))
    assert cost_usd(usage(200_000, 100_000), price) == pytest.approx(1.2)
    assert cost_usd(usage(200_001, 100_000, cached=200_001), price) == pytest.approx(0.0400002 + 1.5)


@given(counts, counts, counts, counts, counts)
def test_a_cost_is_never_negative_and_grows_with_the_counts(prompt, completion, cached, written, more):
    """Also where a provider's counts contradict each other."""
    said = cost_usd(usage(prompt, completion, cached, written), PRICE)
    assert said >= 0
    assert cost_usd(usage(prompt + more, completion + more, cached, written), PRICE) >= said
