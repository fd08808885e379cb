"""What only Ollama has: whole calls, the reasons to stop, and the answers of `/api/generate`."""

from typing import Any

import pytest

from tailrace.schema.items import TextPart
from tests.support.decoding import Heard, framed, hear

WIRE = "ollama"


def piece(**message: Any) -> dict[str, Any]:
    return {"model": "m-1", "created_at": "2026-11-28T13:30:00Z", "message": {"role": "assistant", **message}}


def last(reason: str | None = "stop", **fields: Any) -> dict[str, Any]:
    said = {"done_reason": reason} if reason else {}
    return {**piece(content=""), "done": True, **said, "prompt_eval_count": 20, "eval_count": 9, **fields}


def answer(*lines: Any) -> Heard:
    return hear(WIRE, framed(WIRE, *lines))


def call(name: str, arguments: Any, **more: Any) -> dict[str, Any]:
    return {**more, "function": {"name": name, "arguments": arguments}}


def test_calls_come_whole_with_or_without_an_id():
    """Arguments are an object, their text is its JSON; a call without an id is known by its item's."""
    calls = [call("f", {"a": 1}, id="call_x"), call("g", {})]
    heard = answer(piece(content="", tool_calls=calls), last())
    first, second = heard.calls
    assert first == ("f", '{"a":1}', "call_x")
    assert second[:2] == ("g", "{}")
    assert second[2] == heard.items[1].id
    assert heard.step_done.finish_reason == "tool_calls"


@pytest.mark.parametrize(("arguments", "text"), [('{"a": 1}', '{"a": 1}'), (None, "{}"), ("", "{}")])
def test_arguments_as_other_hosts_send_them(arguments, text):
    """A text, or nothing."""
    assert answer(piece(tool_calls=[call("f", arguments)]), last()).calls[0][1] == text


def test_thinking_ends_where_something_else_begins():
    """Text, or a call; thinking that comes later is another item."""
    heard = answer(piece(thinking="a"), piece(thinking="b"), piece(content="c"), piece(thinking="d"), last())
    assert heard.types == ["reasoning", "message", "reasoning"]
    assert heard.items[0].content == "ab"
    heard = answer(piece(thinking="a"), piece(tool_calls=[call("f", {})]), last())
    assert heard.types == ["reasoning", "function_call"]


@pytest.mark.parametrize(("said", "reason"), [("stop", "stop"), ("length", "length"), (None, "stop"), ("odd", "stop")])
def test_why_it_stopped(said, reason):
    """A reason that is new is told as well; older servers give none."""
    heard = answer(piece(content="a"), last(said))
    assert heard.step_done.finish_reason == reason
    assert any("done_reason" in told for told in heard.events("response")) == (said == "odd")


@pytest.mark.parametrize("said", ["load", "unload"])
def test_a_model_that_was_only_loaded_has_not_answered(said):
    """An error, not an empty answer."""
    heard = answer(last(said))
    assert (heard.response.status, heard.response.error.code) == ("error", "provider_error")
    assert said in heard.response.error.message


def test_a_limit_before_the_first_token_means_a_prompt_too_long():
    """Ollama cuts the prompt to its window, and says no more."""
    assert answer(last("length")).response.error.code == "context_overflow"
    assert answer(piece(thinking="hm"), last("length")).response.status == "complete"


def test_durations_are_told_once():
    """In the provider's own words, whole; dates of each line are not."""
    heard = answer(piece(content="a"), last(total_duration=5, load_duration=1, context=[1, 2]))
    assert heard.events("response") == [{"total_duration": 5, "load_duration": 1, "context": [1, 2]}]


def test_probabilities_go_with_the_text():
    """Beside the message, as they come."""
    logprobs = [{"token": "a", "logprob": -0.1, "top_logprobs": [{"token": "b", "logprob": -2.0}]}]
    heard = answer({**piece(content="a"), "logprobs": logprobs}, last())
    assert heard.items[0].parts == [TextPart(text="a", logprobs=logprobs)]


def test_answers_of_the_generate_api():
    """Their pieces stand in other places."""
    lines = [{"model": "m-1", "response": "", "thinking": "hm"}, {"model": "m-1", "response": "a"}]
    heard = answer(*lines, {"model": "m-1", "response": "b", "done": True, "done_reason": "stop"})
    assert heard.types == ["reasoning", "message"]
    assert heard.items[1].content == "ab"


def test_what_a_message_brings_beside_is_kept():
    """Whole, under its name."""
    heard = answer(piece(content="a", images=["aGk="]), {**piece(content=""), "remote_model": "x"}, last())
    assert heard.events("images") == [["aGk="]]
    assert heard.events("response") == [{"remote_model": "x"}]


def test_a_line_without_its_end_is_heard():
    """The last one may lack its line break."""
    data = framed(WIRE, piece(content="a"), last())
    assert hear(WIRE, data[:-1]).response.status == "complete"


def test_an_error_is_the_end_of_the_stream():
    """It names no kind: it is the server's. What came stays, cut."""
    heard = hear(WIRE, framed(WIRE, piece(content="a")) + b'{"error":"unexpected EOF"}')
    assert (heard.response.error.code, heard.response.error.message) == ("server_error", "unexpected EOF")
    assert heard.items[0].partial.content == "a"
