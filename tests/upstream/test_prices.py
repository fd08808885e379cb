"""The price table: dated, whole, and found by a model's name."""

import tomllib
from datetime import date
from importlib.resources import files

import pytest

from tailrace.fold.cost import Price
from tailrace.upstream.prices import listed_prices, price_of
from tailrace.upstream.registry import load_builtin, provider_from_table


def test_the_table_has_its_date():
    """So that one can tell how old the prices are."""
    text = files("tailrace.upstream").joinpath("prices.toml").read_text(encoding="utf-8")
    assert date.fromisoformat(tomllib.loads(text)["date"]) >= date(2026, 1, 1)


def test_every_price_belongs_to_a_provider_and_makes_sense():
    """Reading from a cache is cheaper than input, and output dearer; each provider is in the registry."""
    for provider_id, prices in listed_prices().items():
        assert prices
        assert load_builtin()[provider_id].prices == prices
        for price in prices.values():
            assert 0 < (price.cached or price.input) <= price.input < price.output


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("claude-haiku-4-5", 1.0),
        ("claude-haiku-4-5-20251001", 1.0),
        ("gpt-5-2025-08-07", 1.25),
        ("gpt-5-mini", 0.25),
        ("gpt-5-something-new", None),
        ("gpt-5-20", None),
    ],
)
def test_a_model_is_found_without_its_date_and_never_by_a_part_of_its_name(model, price):
    """A price that is not known is better than a wrong one."""
    found = price_of(listed_prices()["openai"] | listed_prices()["anthropic"], model)
    assert (found.input if found else None) == price


def test_the_default_models_have_a_price():
    """Of the providers whose prices are listed."""
    for provider_id in listed_prices():
        provider = load_builtin()[provider_id]
        assert provider.default_model
        assert price_of(provider.prices, provider.default_model)


def test_tiers_are_the_provider_s_but_for_models_that_say_otherwise():
    """Each on its own."""
    prices = listed_prices()["openai"]
    assert prices["gpt-5"].tiers["priority"] == 2.0
    assert (prices["gpt-5-mini"].tiers["priority"], prices["gpt-5-mini"].tiers["flex"]) == (1.8, 0.5)


def test_the_settings_override_a_price_and_leave_the_others():
    """Per provider and model."""
    provider = provider_from_table("anthropic", {"prices": {"claude-haiku-4-5": {"input": 9.0, "output": 9.0}}})
    assert price_of(provider.prices, "claude-haiku-4-5") == Price(input=9.0, output=9.0)
    assert price_of(provider.prices, "claude-opus-5") == listed_prices()["anthropic"]["claude-opus-5"]
