"""A recorded answer as a run's events."""

import pytest

from tailrace.adapters.base import DecodeContext
from tailrace.adapters.replay import RUN_ID, decode_events
from tailrace.adapters.wires import WIRES
from tailrace.schema.errors import ProviderError
from tailrace.schema.events import ItemCancelled, ResponseDone, ResponseError, ResponseStart, StepDone, StepStart
from tests.support.decoding import ANSWERS, BODIES, checked, hear, sse

WIRE = "anthropic-messages"


def test_a_run_is_put_around_the_answer():
    """Start, step, what the decoder says, end: with fixed ids and times, so that it is the same every time."""
    context = DecodeContext(provider_id="acme", model_id="large", step=3)
    payloads = decode_events(WIRES[WIRE].decoder, sse(*ANSWERS[WIRE]), context=context)
    start, step, *_, done = payloads
    assert isinstance(start, ResponseStart)
    assert (start.response_id, start.provider_id, start.model_id, start.created_at) == (RUN_ID, "acme", "large", 0)
    assert isinstance(step, StepStart)
    assert step.step == 3
    assert isinstance(done, ResponseDone)
    assert (done.status, done.finish_reason, done.usage.total_tokens) == ("complete", "tool_calls", 29)
    assert decode_events(WIRES[WIRE].decoder, sse(*ANSWERS[WIRE]), context=context, chunk=3) == payloads


def test_a4_a_broken_answer_is_closed_properly():
    """Open items are called off, the step ends with what is known of its tokens, and one terminal event says why."""
    heard = hear(WIRE, sse(*ANSWERS[WIRE][:3]))
    cancelled, step, end = heard.payloads[-3:]
    assert isinstance(cancelled, ItemCancelled)
    assert cancelled.reason == "interrupted"
    assert isinstance(step, StepDone)
    assert (step.finish_reason, step.usage.prompt_tokens) == ("error", 20)
    assert isinstance(end, ResponseError)
    assert end.error.code == "stream_interrupted"


@pytest.mark.parametrize("wire", sorted(ANSWERS))
def test_an_http_error_s_body_is_raised(wire):
    """There is no run to tell of; an answer that has failed, or was cut, is one."""
    for whole in (True, False):
        with pytest.raises(ProviderError) as caught:
            hear(wire, {"error": {"message": "no such model", "code": "model_not_found"}}, whole=whole)
        assert caught.value.code == "not_found"
    assert hear(wire, b"").response.error.code == "stream_interrupted"
    assert checked(decode_events(WIRES[wire].decoder, b"data: {}\n\n")).response.status == "error"


@pytest.mark.parametrize("wire", sorted(BODIES))
def test_a_body_that_is_not_streamed_is_a_run_too(wire):
    """`whole` says so."""
    assert hear(wire, BODIES[wire], whole=True).response.status == "complete"
