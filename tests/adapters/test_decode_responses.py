"""What only OpenAI's Responses wire has: items by place and id, summaries, phases, what gateways lose."""

from typing import Any

import pytest

from tailrace.schema.items import CancelledItem, MessageItem, ProviderItem, ReasoningItem, RefusalPart, TextPart
from tests.support.decoding import Heard, hear, sse

WIRE = "openai-responses"
USAGE = {"input_tokens": 20, "output_tokens": 9, "total_tokens": 29, "input_tokens_details": {"cached_tokens": 8}}


def added(item: dict[str, Any], index: int | None = None) -> dict[str, Any]:
    return {"type": "response.output_item.added", "item": item, **({} if index is None else {"output_index": index})}


def done(item: dict[str, Any], index: int | None = None) -> dict[str, Any]:
    return {"type": "response.output_item.done", "item": item, **({} if index is None else {"output_index": index})}


def ended(status: str = "completed", **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{status}", "response": {"id": "r", "status": status, "usage": USAGE, **fields}}


def message(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": text}], **fields}


def call(arguments: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "name": "f", "call_id": "c1", "arguments": arguments, **fields}


def answer(*events: dict[str, Any]) -> Heard:
    return hear(WIRE, sse(*events))


def test_c12_failed_is_an_error_with_its_code():
    """`response.failed` ends the run as an error; a permanent one is not retryable (A16)."""
    for code, expected, retryable in (
        ("server_error", "server_error", True),
        ("rate_limit_exceeded", "rate_limited", True),
        ("insufficient_quota", "quota_exceeded", False),
        ("invalid_prompt", "invalid_request", False),
        ("context_length_exceeded", "context_overflow", False),
        (None, "provider_error", False),
    ):
        heard = answer(ended("failed", error={"code": code, "message": "sorry"}))
        assert heard.response.status == "error"
        assert (heard.response.error.code, heard.response.error.retryable) == (expected, retryable)
        assert heard.response.error.message == "sorry"


@pytest.mark.parametrize(
    ("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter"), ("odd", "length")]
)
def test_a13_incomplete_is_complete_with_its_reason_and_usage(reason, finish):
    """`response.incomplete` is an answer cut short, not an error (C12); its counts are kept."""
    heard = answer(done(message("Half an"), 0), ended("incomplete", incomplete_details={"reason": reason}))
    assert (heard.response.status, heard.response.finish_reason) == ("complete", finish)
    assert heard.response.usage.prompt_tokens == 20
    assert heard.response.usage.cached_tokens == 8
    assert bool(heard.events("response")) == (reason == "odd")


def test_a12_the_reason_is_tool_calls_whenever_there_are_calls():
    """The wire says `completed` either way."""
    assert answer(done(call("{}"), 0), ended()).response.finish_reason == "tool_calls"
    assert answer(done(message("hi"), 0), ended()).response.finish_reason == "stop"
    cut = answer(done(call("{}"), 0), ended("incomplete"))
    assert cut.response.finish_reason == "length"


def test_a_turn_that_the_provider_wants_to_go_on_is_a_pause():
    """`end_turn: false` (Codex) asks for another request, unless calls do already."""
    assert answer(done(message("a"), 0), ended(end_turn=False)).response.finish_reason == "pause"
    assert answer(done(call("{}"), 0), ended(end_turn=False)).response.finish_reason == "tool_calls"


@pytest.mark.parametrize("status", [None, "incomplete"])
def test_c19_a_call_that_was_cut_is_cancelled(status):
    """Its arguments broke off at the limit: it keeps its place and is never finished."""
    heard = answer(
        added(call(""), 0),
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"city":"Pa'},
        *([done(call('{"city":"Par', status=status), 0)] if status else []),
        ended("incomplete", incomplete_details={"reason": "max_output_tokens"}),
    )
    (item,) = heard.items
    assert isinstance(item, CancelledItem)
    assert item.reason == "length"
    assert item.partial.arguments.startswith('{"city":"Pa')
    assert heard.calls == []


def test_a_call_that_the_provider_never_closed_is_finished_if_it_is_whole():
    """A gateway dropped its end: at the end of the answer whole JSON counts, anything else does not."""
    for arguments, calls in (('{"a":1}', [("f", '{"a":1}', "c1")]), ('{"a":', [])):
        heard = answer(
            added(call(""), 0),
            {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": arguments},
            ended(),
        )
        assert heard.calls == calls


def test_c20_an_item_seen_only_when_done_is_published():
    """Without `added` and without deltas: started, sent in one delta, and done."""
    heard = answer(done(call('{"a":1}', id="fc_1"), 0), ended())
    assert heard.calls == [("f", '{"a":1}', "c1")]
    assert heard.deltas() == ['{"a":1}']


def test_c20_an_item_seen_only_in_the_final_response_is_published():
    """Those known by id or by place are not published twice, whatever ids a gateway gives them there."""
    output = [message("hi", id="other"), call('{"a":1}', id="fc_9")]
    heard = answer(done(message("hi", id="msg_1"), 0), ended(output=output))
    assert heard.types == ["message", "function_call"]
    moved = answer(done(call('{"b":2}', id="fc_1"), 0), ended(output=[call('{"a":1}', id="fc_0"), call("", id="fc_1")]))
    assert [arguments for _, arguments, _ in moved.calls] == ['{"b":2}', '{"a":1}']


def test_an_end_that_comes_only_in_the_final_response_is_taken():
    """The item was open; the final response says what it is."""
    delta = {"type": "response.output_text.delta", "output_index": 0, "delta": "He"}
    heard = answer(added({"type": "message", "id": "m1"}, 0), delta, ended(output=[message("Hello", id="m1")]))
    assert heard.items[0].content == "Hello"
    assert heard.deltas() == ["He", "llo"]


def test_c22_two_items_without_ids_stay_two():
    """With places, without places, and seen only when done."""
    for index in ((0, 1), (None, None)):
        heard = answer(done(message("a"), index[0]), done(message("b"), index[1]), ended())
        assert [item.content for item in heard.items] == ["a", "b"]
    both = answer(added(message(""), 0), added(message(""), 1), done(message("a"), 0), done(message("b"), 1), ended())
    assert [(item.id, item.content) for item in both.items] == [("item_1", "a"), ("item_2", "b")]


def test_items_may_interleave():
    """Deltas find their item by id or by place; a place that contradicts an id gives way."""

    def delta(text: str, **where: Any) -> dict[str, Any]:
        return {"type": "response.output_text.delta", "delta": text, **where}

    heard = answer(
        added({"type": "message", "id": "a"}, 0),
        added({"type": "message", "id": "b"}, 1),
        delta("b1", item_id="b"),
        delta("a1", output_index=0),
        delta("b2", item_id="b", output_index=0),
        delta("a2", item_id="rewritten", output_index=0),
        ended(),
    )
    assert [item.content for item in heard.items] == ["a1a2", "b1b2"]


def test_a_delta_of_an_item_that_was_never_announced_announces_it():
    """Gateways drop events; what can be shown is shown, and a call without a name is never finished."""
    heard = answer(
        {"type": "response.output_text.delta", "item_id": "m9", "output_index": 4, "delta": "hi"},
        {"type": "response.reasoning_text.delta", "item_id": "r9", "delta": "hm"},
        {"type": "response.function_call_arguments.delta", "item_id": "f9", "delta": "{}"},
        ended(),
    )
    assert heard.types == ["message", "reasoning", "cancelled"]
    assert [heard.items[0].content, heard.items[1].content] == ["hi", "hm"]


def test_wholes_fill_in_for_deltas_that_never_came():
    """`…done` events bring what their deltas did not, once."""
    heard = answer(
        added({"type": "message", "id": "m"}, 0),
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Hel"},
        {"type": "response.output_text.done", "output_index": 0, "text": "Hello"},
        {"type": "response.refusal.done", "output_index": 0, "content_index": 1, "refusal": " No."},
        added(call(""), 1),
        {"type": "response.function_call_arguments.done", "output_index": 1, "arguments": '{"a":1}'},
        added({"type": "reasoning", "id": "r"}, 2),
        {"type": "response.reasoning_summary_text.done", "output_index": 2, "summary_index": 0, "text": "First."},
        {"type": "response.reasoning_text.done", "output_index": 2, "text": "In detail."},
        ended(),
    )
    assert heard.items[0].content == "Hello No."
    assert heard.calls == [("f", '{"a":1}', "c1")]
    assert heard.items[2].content == "First."
    assert heard.deltas("reasoning_text") == ["In detail."]


def test_the_final_item_is_authoritative():
    """Where the deltas said something else, the final text holds."""
    heard = answer(
        added({"type": "message", "id": "m"}, 0),
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Wrong"},
        done(message("Right", id="m"), 0),
        ended(),
    )
    assert heard.items[0].content == "Right"


def test_a_summary_in_parts_folds_to_what_the_item_says():
    """A blank line stands between parts, in the deltas too; a delta names its part."""

    def delta(part: int, text: str) -> dict[str, Any]:
        return {
            "type": "response.reasoning_summary_text.delta",
            "output_index": 0,
            "summary_index": part,
            "delta": text,
        }

    summary = [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}]
    heard = answer(
        added({"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "early"}, 0),
        delta(0, "O"),
        delta(0, "ne."),
        delta(1, "Two."),
        done({"type": "reasoning", "id": "r", "summary": summary, "encrypted_content": "late"}, 0),
        ended(output=[{"type": "reasoning", "id": "r", "summary": summary, "encrypted_content": "later"}]),
    )
    (item,) = heard.items
    assert isinstance(item, ReasoningItem)
    assert item.summary_parts == ["One.", "Two."]
    assert item.content == "One.\n\nTwo." == "".join(heard.deltas())
    assert [p.part for p in heard.payloads if getattr(p, "delta_content", None)] == [0, 0, None, 1]
    assert (item.opaque.kind, item.opaque.data, item.opaque.provider_id) == ("encrypted_content", "late", "p")


def test_reasoning_of_which_only_a_summary_part_is_missing_is_completed():
    """The last part goes on where its deltas stopped, and further parts follow."""
    summary = [{"text": "One."}, {"text": "Two."}]
    delta = {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "On"}
    heard = answer(added({"type": "reasoning"}, 0), delta, done({"type": "reasoning", "summary": summary}, 0), ended())
    assert "".join(heard.deltas()) == heard.items[0].content == "One.\n\nTwo."


def test_own_reasoning_beside_a_summary_is_kept_in_a_channel():
    """What is shown is the summary."""
    item = {"type": "reasoning", "summary": [{"text": "Short."}], "content": [{"text": "Long."}]}
    heard = answer(done(item, 0), ended())
    assert heard.items[0].content == "Short."
    assert heard.deltas("reasoning_text") == ["Long."]


def test_text_with_annotations_logprobs_and_a_refusal_has_parts():
    """What plain text cannot say stands in the parts, and travels in channels; the refusal is text, too."""
    url = {"type": "url_citation", "url": "https://example.org", "start_index": 0, "end_index": 2}
    probability = {"token": "Hi", "logprob": -0.1}
    content = [
        {"type": "output_text", "text": "Hi.", "annotations": [url], "logprobs": [probability]},
        {"type": "refusal", "refusal": "No."},
        {"type": "hologram", "data": "?"},
    ]
    final = {"type": "message", "id": "m", "content": content, "phase": "final_answer"}
    heard = answer(
        added({"type": "message", "id": "m"}, 0),
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Hi.", "logprobs": [probability]},
        {"type": "response.output_text.annotation.added", "output_index": 0, "annotation": url},
        {"type": "response.refusal.delta", "output_index": 0, "content_index": 1, "delta": "No."},
        done(final, 0),
        ended(),
    )
    parts = [TextPart(text="Hi.", annotations=[url], logprobs=[probability]), RefusalPart(refusal="No.")]
    assert heard.items == [MessageItem(id="m", content="Hi.No.", parts=parts, phase="final_answer")]
    assert heard.deltas("refusal") == ["No."]
    assert len(heard.deltas("annotation")) == len(heard.deltas("logprobs")) == 1
    assert heard.events("content_part") == [content[2]]
    whole = hear(WIRE, {"output": [final], "status": "completed"}, whole=True)
    assert whole.items == heard.items
    assert [whole.deltas(channel) for channel in (None, "refusal", "annotation", "logprobs")] == [
        heard.deltas(channel) for channel in (None, "refusal", "annotation", "logprobs")
    ]


def test_a_provider_s_own_item_travels_whole():
    """Its input grows in a channel; events of its progress and unknown ones are kept."""
    final = {"type": "code_interpreter_call", "id": "ci", "code": "print(1)", "outputs": None, "novel": [1]}
    heard = answer(
        added({"type": "code_interpreter_call", "id": "ci", "code": ""}, 0),
        {"type": "response.code_interpreter_call.in_progress", "item_id": "ci"},
        {"type": "response.code_interpreter_call_code.delta", "item_id": "ci", "delta": "print(1)"},
        {"type": "response.code_interpreter_call_code.delta", "item_id": "nobody", "output_index": 7, "delta": "x"},
        {"type": "response.code_interpreter_call_code.done", "item_id": "ci", "code": "print(1)"},
        done(final, 0),
        ended(),
    )
    assert heard.items == [ProviderItem(id="ci", provider_type="code_interpreter_call", data=final)]
    assert heard.deltas("input") == ["print(1)"]
    assert len(heard.events("response.code_interpreter_call.in_progress")) == 1
    assert len(heard.events("response.code_interpreter_call_code.delta")) == 1


def test_a_provider_s_item_that_was_cut_is_cancelled_and_one_left_open_is_shown():
    """At the limit it is called off; otherwise what was announced is what there is."""
    announced = added({"type": "web_search_call", "id": "ws", "status": "in_progress"}, 0)
    assert answer(announced, ended("incomplete")).types == ["cancelled"]
    assert answer(announced, ended()).items[0].data["status"] == "in_progress"


def test_custom_calls_keep_free_text():
    """A custom tool's input is no JSON; namespace and caller go back with the call."""
    item = {"type": "custom_tool_call", "id": "ctc", "call_id": "c", "name": "run", "input": "print(1)"}
    heard = answer(
        added({**item, "input": ""}, 0),
        {"type": "response.custom_tool_call_input.delta", "item_id": "ctc", "delta": "print(1)"},
        done(item, 0),
        done(call({"a": 1}, namespace="math", caller={"type": "program", "caller_id": "c"}), 1),
        ended(),
    )
    custom, function = heard.items
    assert (custom.kind, custom.arguments) == ("custom", "print(1)")
    assert (function.arguments, function.namespace, function.opaque.kind) == ('{"a":1}', "math", "caller")
    assert function.opaque.data == '{"type":"program","caller_id":"c"}'


def test_facts_about_the_answer_are_told_once_and_echoes_are_not():
    """What the request said, padding and nulls are no news; counts that ours cannot say travel whole."""
    heard = answer(
        {"type": "response.output_text.delta", "item_id": "m", "delta": "hi", "obfuscation": "xyz"},
        {"type": "ping"},
        {"type": "response.in_progress", "response": {"service_tier": "auto", "model": "m-2"}},
        ended(service_tier="flex", tools=[{"name": "f"}], instructions="be", user=None, usage={**USAGE, "extra": 3}),
    )
    assert heard.events("response") == [{"service_tier": "flex"}]
    assert heard.events("usage") == [{**USAGE, "extra": 3}]
    assert heard.step_done.model_id == "m-2"
    assert len(heard.payloads) == 9


def test_a_body_that_is_still_running_is_no_answer():
    """A background response was fetched too early."""
    heard = hear(WIRE, {"id": "r", "object": "response", "status": "queued", "output": []}, whole=True)
    assert heard.response.error.code == "protocol_error"


def test_a_failed_body_is_a_failed_run():
    """Not an error body: the response is there, and says that it failed."""
    body = {"id": "r", "object": "response", "status": "failed", "output": [], "error": {"code": "server_error"}}
    assert hear(WIRE, body, whole=True).response.error.code == "server_error"


def test_codex_s_own_end_and_an_error_without_a_type_are_understood():
    """`response.done`, and an error object alone in its event."""
    assert answer({"type": "response.done", "response": {"status": "completed"}}).response.status == "complete"
    assert answer({"error": {"code": "rate_limit_exceeded"}}).response.error.code == "rate_limited"
    assert answer(ended("cancelled")).response.error.code == "provider_error"


def test_an_item_under_a_place_that_is_used_again_is_another():
    """Gateways that number every item 0."""
    heard = answer(
        done(message("a", id="m1"), 0), done(message("b", id="m2"), 0), done(message("b", id="m2"), 0), ended()
    )
    assert [item.content for item in heard.items] == ["a", "b"]
    assert len(heard.events("response.output_item.done")) == 1
