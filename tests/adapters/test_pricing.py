"""The cost in a decoded answer's usage: by the tier that served it, by how long it caches, or as the provider says."""

import pytest

from tailrace.adapters.pricing import Pricing
from tailrace.adapters.wires import WIRES
from tailrace.fold.cost import Price
from tailrace.schema import codec
from tailrace.schema.events import StepDone, UsageUpdate
from tests.support.decoding import CONTEXT

PRICE = Price(input=1.0, output=2.0, write=1.25, write_1h=2.0, tiers={"flex": 0.5, "priority": 2.0})
CHAT = {"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0}}  # fmt: skip
MESSAGE = {"type": "message", "role": "assistant", "content": [], "stop_reason": "end_turn",
           "usage": {"input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 1_000_000,
                     "cache_creation": {"ephemeral_5m_input_tokens": 600_000, "ephemeral_1h_input_tokens": 400_000},
                     "service_tier": "standard"}}  # fmt: skip


def cost(wire: str, answer: dict, asked_tier: str | None = None) -> float | None:
    payloads = WIRES[wire].decoder(CONTEXT).whole(codec.encode(answer))
    done = Pricing(PRICE, asked_tier).priced(payloads)[-1]
    assert isinstance(done, StepDone)
    assert done.usage is not None
    return done.usage.cost_usd


@pytest.mark.parametrize(
    ("asked", "served", "factor"),
    [(None, None, 1.0), (None, "flex", 0.5), ("priority", "default", 1.0), ("priority", None, 2.0)],
)
def test_the_tier_that_served_it_holds(asked, served, factor):
    """Where the answer does not say, the one that was asked for."""
    answer = CHAT if served is None else {**CHAT, "service_tier": served}
    assert cost("openai-chat-completions", answer, asked) == factor


def test_the_tier_of_a_responses_answer():
    """It stands in the response, not in its usage."""
    answer = {"object": "response", "id": "r", "status": "completed", "output": [], "service_tier": "priority",
              "usage": {"input_tokens": 1_000_000, "output_tokens": 0}}  # fmt: skip
    assert cost("openai-responses", answer, "auto") == 2.0


@pytest.mark.parametrize(("traffic", "factor"), [("ON_DEMAND_PRIORITY", 2.0), ("ON_DEMAND", 1.0)])
def test_the_tier_of_vertex(traffic, factor):
    """It is the kind of traffic; what was asked for may not have been had."""
    counts = {"promptTokenCount": 1_000_000, "totalTokenCount": 1_000_000, "trafficType": traffic}
    answer = {"candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}], "usageMetadata": counts}
    assert cost("google-gemini", answer, "priority") == factor


def test_what_is_cached_for_an_hour_costs_more():
    """Anthropic tells the two apart beside their sum."""
    assert cost("anthropic-messages", MESSAGE) == pytest.approx(0.6 * 1.25 + 0.4 * 2.0)


def test_a_cost_that_the_provider_reports_wins():
    """As OpenRouter does."""
    answer = {**CHAT, "usage": {**CHAT["usage"], "cost": 0.123}}
    assert cost("openai-chat-completions", answer, "priority") == 0.123


def test_a_stream_that_fails_has_its_cost_told():
    """Tokens were spent all the same."""
    start = {"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "content": [],
             "model": "m", "usage": {"input_tokens": 1_000_000, "output_tokens": 0}}}  # fmt: skip
    decoder, pricing = WIRES["anthropic-messages"].decoder(CONTEXT), Pricing(PRICE, None)
    payloads = decoder.feed(b"event: message_start\ndata: " + codec.encode(start) + b"\n\n") + decoder.close()
    told = [payload.usage.cost_usd for payload in pricing.priced(payloads) if isinstance(payload, UsageUpdate)]
    assert told
    assert set(told) == {1.0}
