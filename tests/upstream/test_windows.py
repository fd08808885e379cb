"""How much models take in: the table that is built in, and what the settings say instead."""

import pytest

from tailrace.upstream.prices import listed_prices
from tailrace.upstream.registry import load_builtin, provider_from_table
from tailrace.upstream.windows import listed_windows


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("anthropic/claude-haiku-4-5-20251001", 200_000),
        ("anthropic/claude-sonnet-4-6", 1_000_000),
        ("anthropic/claude-opus-4-8", 1_000_000),
        ("openai/gpt-5-mini-2025-08-07", 272_000),
        ("openai/gpt-5.6-sol", 922_000),
        ("openai/gpt-4.1", 1_047_576),
        ("gemini/gemini-2.5-pro", 1_048_576),
        ("openai/nobody-knows-it", None),
    ],
)
def test_windows_are_known_by_name(model: str, tokens: int | None):
    """By pattern, and without the date at the name's end."""
    provider, _, name = model.partition("/")
    assert load_builtin()[provider].context_window(name) == tokens


def test_the_table_speaks_of_providers_that_are_there():
    """And of each model whose price is listed."""
    known = load_builtin()
    assert set(listed_windows()) <= set(known)
    priced = [(name, model) for name, models in listed_prices().items() for model in models]
    assert [pair for pair in priced if known[pair[0]].context_window(pair[1]) is None] == []


def test_the_settings_say_otherwise():
    """A model or a pattern of theirs comes first; the host's own limit holds for what nobody lists."""
    mine = provider_from_table("anthropic", {"context_windows": {"claude-*": 50_000, "claude-haiku-4-5": 60_000}})
    assert [mine.context_window(f"claude-{name}") for name in ("opus-5", "haiku-4-5")] == [50_000, 50_000]
    host = provider_from_table(
        "host", {"wire": "ollama", "base_url": "http://127.0.0.1:1", "quirks": {"context_window": 8192}}
    )
    assert host.context_window("any") == 8192
