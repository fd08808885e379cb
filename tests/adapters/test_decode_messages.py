"""What only Anthropic's Messages wire has: blocks by index, signatures, cumulative counts, stop reasons."""

from typing import Any

import pytest

from tailrace.schema.items import CancelledItem, MessageItem, Opaque, ProviderItem, ReasoningItem, TextPart
from tests.support.decoding import Heard, hear, sse

WIRE = "anthropic-messages"
START = {
    "type": "message_start",
    "message": {"id": "msg_1", "model": "claude", "content": [], "usage": {"input_tokens": 11, "output_tokens": 1}},
}
STOP = {"type": "message_stop"}


def block(index: int, *deltas: dict[str, Any], **content: Any) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": content},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text(piece: str) -> dict[str, Any]:
    return {"type": "text_delta", "text": piece}


def partial(piece: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": piece}


def end(reason: str | None, usage: dict[str, Any] | None = None, **fields: Any) -> list[dict[str, Any]]:
    delta = {"stop_reason": reason, **fields}
    return [{"type": "message_delta", "delta": delta, "usage": usage or {"output_tokens": 5}}, STOP]


def answer(*events: dict[str, Any]) -> Heard:
    return hear(WIRE, sse(START, *events))


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "pause"),
        ("refusal", "refusal"),
        ("tool_use", "stop"),  # there is no call
        ("novelty", "stop"),
        (None, "stop"),
    ],
)
def test_stop_reasons(reason, finish):
    """Each has its word; one that nobody knows is told as it is."""
    heard = answer(*block(0, text("Hi"), type="text", text=""), *end(reason))
    assert heard.response.finish_reason == finish
    assert heard.events("response") == ([{"stop_reason": "novelty"}] if reason == "novelty" else [])


def test_a12_the_reason_is_tool_calls_whenever_there_are_calls():
    """Also where the provider says that the turn has ended."""
    call = block(0, partial('{"a":1}'), type="tool_use", id="t", name="f", input={})
    assert answer(*call, *end("end_turn")).response.finish_reason == "tool_calls"
    assert answer(*call, *end("max_tokens")).response.finish_reason == "length"


def test_c16_a_call_without_arguments_has_an_empty_object():
    """No deltas, empty deltas, and empty input that is not streamed."""
    for deltas in ((), (partial(""),)):
        heard = answer(*block(0, *deltas, type="tool_use", id="t", name="f", input={}), *end("tool_use"))
        assert heard.calls == [("f", "{}", "t")]
        assert "".join(heard.deltas()) == "{}"
    body = {"content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}], "stop_reason": "tool_use"}
    assert hear(WIRE, body, whole=True).calls == [("f", "{}", "t")]


def test_input_that_stands_in_the_block_s_start_counts():
    """Unless deltas bring it anew."""
    given = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}
    assert answer(*block(0, **given), *end("tool_use")).calls == [("f", '{"a":1}', "t")]
    assert answer(*block(0, partial('{"b":2}'), **given), *end("tool_use")).calls == [("f", '{"b":2}', "t")]


@pytest.mark.parametrize("piece", ["", '{"city":"Pa'])
def test_c19_a_call_that_was_cut_at_the_limit_is_cancelled(piece):
    """The wire closes the block all the same: the stop reason tells. Whole calls before it stay."""
    heard = answer(
        *block(0, partial('{"a":1}'), type="tool_use", id="t0", name="f", input={}),
        *block(1, partial(piece), type="tool_use", id="t1", name="f", input={}),
        *end("max_tokens"),
    )
    assert heard.calls == [("f", '{"a":1}', "t0")]
    cut = heard.items[1]
    assert isinstance(cut, CancelledItem)
    assert (cut.reason, cut.partial.arguments) == ("length", piece)


def test_c17_malformed_arguments_of_a_finished_call_stay_as_sent():
    """The provider says that the call is finished: whoever runs it will tell the model that it cannot be read."""
    heard = answer(*block(0, partial('{"a":'), type="tool_use", id="t", name="f", input={}), *end("tool_use"))
    assert heard.calls == [("f", '{"a":', "t")]


def test_a19_blocks_left_open_end_in_their_order():
    """A gateway dropped their ends: whole calls are finished, what is cut is not, text is kept."""
    opened = [
        *block(0, text("Hi"), type="text", text="")[:-1],
        *block(1, partial('{"a":1}'), type="tool_use", id="t1", name="f", input={})[:-1],
        *block(2, partial('{"b":'), type="tool_use", id="t2", name="g", input={})[:-1],
    ]
    heard = answer(*opened, *end("tool_use"))
    assert heard.types == ["message", "function_call", "cancelled"]
    assert [payload.item_id for payload in heard.payloads if type(payload).__name__ == "ItemDone"] == ["item_1", "t1"]
    assert heard.items[2].reason == "incomplete"


def test_thinking_keeps_its_signature_and_redacted_thinking_its_data():
    """Byte for byte, bound to provider and model."""
    heard = answer(
        *block(
            0,
            {"type": "thinking_delta", "thinking": "Hm."},
            {"type": "signature_delta", "signature": "sig=="},
            type="thinking",
            thinking="",
            signature="",
        ),
        *block(1, type="redacted_thinking", data="sealed=="),
        *block(2, {"type": "signature_delta", "signature": "only"}, type="thinking", thinking=""),
        *end("end_turn"),
    )

    def opaque(kind: str, data: str) -> Opaque:
        return Opaque(provider_id="p", model_id="m", kind=kind, data=data)

    assert heard.items == [
        ReasoningItem(id="item_1", content="Hm.", opaque=opaque("signature", "sig==")),
        ReasoningItem(id="item_2", content="", opaque=opaque("redacted_thinking", "sealed==")),
        ReasoningItem(id="item_3", content="", opaque=opaque("signature", "only")),
    ]


def test_citations_are_annotations():
    """Those in the block's start, and those that come as deltas, each in a delta of its channel."""
    cited = [{"type": "char_location", "cited_text": letter} for letter in "ab"]
    heard = answer(
        *block(
            0,
            text("So."),
            {"type": "citations_delta", "citation": cited[1]},
            type="text",
            text="",
            citations=[cited[0]],
        ),
        *end("end_turn"),
    )
    part = TextPart(text="So.", annotations=cited)
    assert heard.items == [MessageItem(id="item_1", content="So.", parts=[part])]
    assert len(heard.deltas("annotation")) == 2


def test_blocks_of_the_provider_s_own_tools_travel_whole():
    """Input that is streamed is put in; results and unknown types stay as they came."""
    use = {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {}}
    result = {"type": "web_search_tool_result", "tool_use_id": "srv", "content": [{"url": "https://example.org"}]}
    novel = {"type": "hologram", "input": None, "depth": 3}
    heard = answer(
        *block(0, partial('{"query":'), partial(' "x"}'), **use),
        *block(1, **result),
        *block(2, **novel),
        *block(3, {"type": "compaction_delta", "content": "Short.", "sealed": "z"}, type="compaction", content=None),
        *end("end_turn"),
    )
    compacted = {"type": "compaction", "content": "Short.", "sealed": "z"}
    assert heard.items == [
        ProviderItem(id="srv", provider_type="server_tool_use", data={**use, "input": {"query": "x"}}),
        ProviderItem(id="item_1", provider_type="web_search_tool_result", data=result),
        ProviderItem(id="item_2", provider_type="hologram", data=novel),
        ProviderItem(id="item_3", provider_type="compaction", data=compacted, text="Short."),
    ]
    assert heard.deltas("input") == ['{"query":', ' "x"}']


def test_a_provider_s_tool_use_that_was_cut_is_cancelled():
    """Half an input was never used."""
    use = {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {}}
    assert answer(*block(0, partial('{"que'), **use), *end("max_tokens")).types == ["cancelled"]


def test_a7_prompt_tokens_include_what_was_read_from_and_written_to_the_cache():
    """Anthropic's `input_tokens` leave both out."""
    usage = {"input_tokens": 3, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 7}
    heard = answer(*end("end_turn", usage))
    assert heard.response.usage.prompt_tokens == 123
    assert heard.response.usage.total_tokens == 130
    assert (heard.response.usage.cached_tokens, heard.response.usage.cache_write_tokens) == (100, 20)


def test_a8_counts_without_input_tokens_keep_the_earlier_ones():
    """And the stop reason with them; null is no count, a negative one is none."""
    heard = answer(*end("max_tokens", {"output_tokens": 9, "input_tokens": None, "cache_read_input_tokens": -4}))
    usage = heard.response.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (11, 9, 0)
    assert heard.response.finish_reason == "length"


def test_counts_and_facts_that_ours_cannot_say_are_told():
    """The container, the stop sequence and what was edited away; tools that were paid for."""
    usage = {"output_tokens": 5, "server_tool_use": {"web_search_requests": 2}}
    heard = answer(
        {"type": "ping"},
        *end("stop_sequence", usage, stop_sequence="###", container={"id": "c"}, stop_details=None)[:1],
        {"type": "message_delta", "delta": {}, "context_management": {"applied_edits": [{"type": "clear"}]}},
        STOP,
    )
    edits = {"applied_edits": [{"type": "clear"}]}
    assert heard.events("response") == [{"stop_sequence": "###", "container": {"id": "c"}, "context_management": edits}]
    assert heard.events("usage") == [{"input_tokens": 11, **usage}]


@pytest.mark.parametrize(
    ("kind", "code", "retryable"),
    [
        ("overloaded_error", "overloaded", True),
        ("rate_limit_error", "rate_limited", True),
        ("api_error", "server_error", True),
        ("timeout_error", "timeout", True),
        ("invalid_request_error", "invalid_request", False),
        ("authentication_error", "authentication", False),
        ("billing_error", "quota_exceeded", False),
        ("novel_error", "provider_error", False),
    ],
)
def test_a16_an_error_event_says_whether_another_try_is_of_use(kind, code, retryable):
    """Permanent errors are not retried; partial arguments are never finished (A2)."""
    heard = answer(
        *block(0, partial('{"a":'), type="tool_use", id="t", name="f", input={})[:-1],
        {"type": "error", "error": {"type": kind, "message": "No."}, "request_id": "req_1"},
    )
    error = heard.response.error
    assert (error.code, error.retryable, error.message) == (code, retryable, "No.")
    assert error.details["request_id"] == "req_1"
    assert heard.types == ["cancelled"]
    assert heard.response.usage.prompt_tokens == 11


def test_a_second_message_start_begins_anew():
    """A gateway spliced two streams: what was whole stays, what was open is called off, indexes mean new blocks."""
    call = {"type": "tool_use", "name": "f", "input": {}}
    heard = answer(
        *block(0, text("Once."), type="text", text=""),
        *block(1, partial('{"a":'), id="t1", **call)[:-1],
        START,
        *block(0, text("Twice."), type="text", text=""),
        *block(1, partial('{"a":1}'), id="t2", **call),
        *end("tool_use"),
    )
    assert heard.types == ["message", "cancelled", "message", "function_call"]
    assert heard.calls == [("f", '{"a":1}', "t2")]


def test_deltas_without_a_start_begin_their_block():
    """Where their type tells what the block is; input without a tool's name goes by, kept."""
    heard = answer(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
        {"type": "content_block_delta", "index": 1, "delta": text("Hi")},
        {"type": "content_block_delta", "index": 2, "delta": partial("{}")},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "novel_delta"}},
        {"type": "content_block_stop", "index": 9},
        *end("end_turn"),
    )
    assert [item.content for item in heard.items] == ["Hm.", "Hi"]
    assert len(heard.events("content_block_delta")) == 2
    assert len(heard.events("content_block_stop")) == 1


def test_a_call_from_a_program_keeps_its_caller():
    """The model's own calls need none."""
    caller = {"type": "code_execution_20250825", "tool_id": "srv"}
    heard = answer(
        *block(0, type="tool_use", id="t1", name="f", input={"a": 1}, caller=caller),
        *block(1, type="tool_use", id="t2", name="f", input={"a": 1}, caller={"type": "direct"}),
        *end("tool_use"),
    )
    assert heard.items[0].opaque.kind == "caller"
    assert heard.items[1].opaque is None
