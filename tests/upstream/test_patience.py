"""What a provider needs more time for than others."""

import pytest

from tailrace.schema.errors import ProviderError, SettingsError
from tailrace.upstream.patience import Patience
from tailrace.upstream.registry import load_builtin, provider_from_table
from tailrace.upstream.retry import RetryPolicy
from tailrace.upstream.watchdog import Timeouts

USUAL = Timeouts(response_s=10, first_event_s=20, idle_s=30, total_s=40)


def test_they_are_floors():
    """What the settings allow holds where it is more; how long the whole answer may take is the settings' alone."""
    assert Patience().limits(USUAL) == USUAL
    more = Patience(first_event_s=15, idle_s=60).limits(USUAL)
    assert (more.response_s, more.first_event_s, more.idle_s, more.total_s) == (15, 20, 60, 40)


def test_a_model_that_has_to_be_loaded_is_asked_again_later():
    """Ollama: up to 2.5, 5 and 10 s, with the jitter of all waits, where others wait up to 0.5, 1 and 2 s."""
    retries = load_builtin()["ollama"].patience.retries(RetryPolicy())
    error = ProviderError("overloaded", "loading")
    waits = [retries.delay(error, attempt=n, elapsed_s=0, random=lambda: 1.0) for n in (1, 2, 3)]
    assert waits == [2.5, 5.0, 10.0]
    assert Patience().retries(RetryPolicy()) == RetryPolicy()


def test_bedrock_may_think_in_silence():
    """For ten minutes between events, and for fifteen before the first."""
    limits = load_builtin()["bedrock"].patience.limits(Timeouts())
    assert (limits.first_event_s, limits.idle_s) == (900, 600)


def test_a_table_of_the_settings_says_otherwise():
    """As with all that a table says; a wrong word is named."""
    table = {"wire": "ollama", "base_url": "http://127.0.0.1:1"}
    assert provider_from_table("ollama", {**table, "patience": {}}).patience == Patience()
    assert provider_from_table("ollama", table).patience.first_event_s == 3600
    with pytest.raises(SettingsError, match=r"\[providers.x\].*patience"):
        provider_from_table("x", {**table, "patience": {"forever": True}})
