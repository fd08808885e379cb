"""What only Chat Completions have: calls in every form there is, reasoning under many names, counts at the very end."""

from itertools import permutations
from typing import Any

import pytest

from tailrace.adapters.base import DecodeContext
from tailrace.schema import codec
from tailrace.schema.items import CancelledItem, ImagePart, MessageItem, RefusalPart, TextPart
from tests.support.decoding import Heard, hear, sse

WIRE = "openai-chat-completions"
USAGE = {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29}


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **fields}


def entry(index: int | None = 0, call_id: str | None = None, **function: Any) -> dict[str, Any]:
    """One entry of `tool_calls`; what is None is left out."""
    place = {} if index is None else {"index": index}
    return {**place, **({} if call_id is None else {"id": call_id}), "function": function}


def calling(*entries: dict[str, Any]) -> dict[str, Any]:
    return chunk({"tool_calls": list(entries)})


def answer(*events: dict[str, Any], done: bool = True) -> Heard:
    return hear(WIRE, sse(*events, done=done))


TWO = [("f", '{"a":1}', "c1"), ("g", '{"b":2}', "c2")]
STREAMS = {
    "plainly": [
        calling(entry(0, "c1", name="f", arguments="")),
        calling(entry(0, arguments='{"a"')),
        calling(entry(0, arguments=":1}")),
        calling(entry(1, "c2", name="g", arguments='{"b":2}')),
    ],
    "name repeated": [
        calling(entry(0, "c1", name="f", arguments='{"a"')),
        calling(entry(0, "c1", name="f", arguments=":1}")),
        calling(entry(1, "c2", name="g", arguments='{"b"')),
        calling(entry(1, "c2", name="g", arguments=":2}")),
    ],
    "id late": [
        calling(entry(0, name="f", arguments='{"a"')),
        calling(entry(0, "c1", arguments=":1}")),
        calling(entry(1, name="g")),
        calling(entry(1, arguments='{"b":2}')),
        calling(entry(1, "c2")),
    ],
    "arguments before the name": [
        calling(entry(0, arguments='{"a"')),
        calling(entry(0, "c1", arguments=":1}")),
        calling(entry(0, name="f")),
        calling(entry(1, arguments='{"b":2}')),
        calling(entry(1, "c2", name="g")),
    ],
    "interleaved": [
        calling(entry(0, "c1", name="f"), entry(1, "c2", name="g")),
        calling(entry(1, arguments='{"b"'), entry(0, arguments='{"a"')),
        calling(entry(0, arguments=":1}")),
        calling(entry(1, arguments=":2}")),
    ],
    "second first, and gaps": [
        calling(entry(7, "c2", name="g", arguments='{"b":2}')),
        calling(entry(3, "c1", name="f", arguments='{"a":1}')),
    ],
    "empty strings and nulls on continuations": [
        calling(entry(0, "c1", name="f", arguments=None)),
        calling(entry(0, "", name="", arguments='{"a":1}')),
        calling(entry(1, "c2", name="g", arguments="")),
        calling(entry(1, "", name=None, arguments='{"b":2}')),
    ],
    "whole in one chunk": [
        calling(entry(0, "c1", name="f", arguments='{"a":1}'), entry(1, "c2", name="g", arguments='{"b":2}')),
    ],
    "as objects": [
        calling(entry(0, "c1", name="f", arguments={"a": 1})),
        calling(entry(1, "c2", name="g", arguments={"b": 2})),
    ],
    "all with index 0": [
        calling(entry(0, "c1", name="f", arguments='{"a":1}')),
        calling(entry(0, "c2", name="g", arguments='{"b":2}')),
    ],
    "without an index": [
        calling(entry(None, "c1", name="f", arguments='{"a"')),
        calling(entry(None, "c1", arguments=":1}")),
        calling(entry(None, "c2", name="g")),
        calling(entry(None, arguments='{"b":2}')),
    ],
    "without an index, id late": [
        calling(entry(None, name="f", arguments='{"a"')),
        calling(entry(None, "c1", arguments=":1}")),
        calling(entry(None, name="g")),
        calling(entry(None, "c2", arguments='{"b":2}')),
    ],
}


@pytest.mark.parametrize("form", STREAMS)
def test_a14_the_same_calls_come_out_of_every_form(form):
    """Name, arguments and id, in the order of the index (A19); a call begins once its name and id are known."""
    heard = answer(*STREAMS[form], chunk({}, "tool_calls"))
    assert sorted(heard.calls) == TWO
    assert form == "second first, and gaps" or heard.calls == TWO
    starts = [p for p in heard.payloads if getattr(p, "item_type", "") == "function_call"]
    assert {(start.name, start.call_id) for start in starts} == {("f", "c1"), ("g", "c2")}


def test_a14_calls_that_never_get_an_id_have_their_item_s():
    """Also in the event that begins them."""
    heard = answer(calling(entry(0, name="f", arguments="{}")), chunk({}, "stop"))
    assert heard.calls == [("f", "{}", "item_1")]
    assert next(p.call_id for p in heard.payloads if getattr(p, "name", "") == "f") == "item_1"


def test_a14_two_calls_with_one_id_stay_two():
    """Gateways that take the tool's name for an id; streamed and whole."""
    entries = [entry(n, "f", name="f", arguments=codec.encode({"n": n}).decode()) for n in range(2)]
    message = {"tool_calls": [{**one, "index": None} for one in entries]}
    body = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
    for heard in (answer(*map(calling, entries), chunk({}, "tool_calls")), hear(WIRE, body, whole=True)):
        assert [arguments for _, arguments, _ in heard.calls] == ['{"n":0}', '{"n":1}']
        assert len({item.id for item in heard.items}) == 2


def test_a19_leftover_calls_end_in_the_order_of_their_index():
    """Whichever began first."""
    calls = [entry(n, f"c{n}", name="f", arguments="{}") for n in range(3)]
    for order in permutations(calls):
        heard = answer(*map(calling, order), chunk({}, "tool_calls"))
        done = [p.item_id for p in heard.payloads if type(p).__name__ == "ItemDone"]
        assert done == ["c0", "c1", "c2"]


@pytest.mark.parametrize("arguments", ["", '{"a":'])
def test_c19_a_call_that_was_cut_at_the_limit_is_cancelled(arguments):
    """Whole ones before it are kept."""
    heard = answer(
        calling(entry(0, "c1", name="f", arguments="{}")),
        calling(entry(1, "c2", name="g", arguments=arguments)),
        chunk({}, "length", usage=USAGE),
    )
    assert heard.calls == [("f", "{}", "c1")]
    cut = heard.items[1]
    assert isinstance(cut, CancelledItem)
    assert (cut.reason, cut.partial.arguments) == ("length", arguments)
    assert heard.response.finish_reason == "length"


def test_c17_malformed_arguments_of_a_finished_call_stay_as_sent():
    """A provider that says why it stopped has finished its calls; one that says nothing may have been cut."""
    call = calling(entry(0, "c1", name="f", arguments='{"a":'))
    assert answer(call, chunk({}, "tool_calls")).calls == [("f", '{"a":', "c1")]
    assert answer(call).types == ["cancelled"]
    assert answer(calling(entry(0, "c1", name="f"))).calls == [("f", "{}", "c1")]


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("model_context_window_exceeded", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "stop"),  # there is no call
        ("novelty", "stop"),
    ],
)
def test_finish_reasons(finish, reason):
    """Each has its word; one that nobody knows is told as it is. None of them loses the usage (A13)."""
    heard = answer(chunk({"content": "Hi"}), chunk({}, finish, usage=USAGE))
    assert (heard.response.status, heard.response.finish_reason) == ("complete", reason)
    assert heard.response.usage.total_tokens == 29
    assert heard.events("response") == ([{"finish_reason": "novelty"}] if finish == "novelty" else [])


def test_a12_the_reason_is_tool_calls_whenever_there_are_calls():
    """Some say `stop`."""
    assert answer(calling(entry(0, "c1", name="f")), chunk({}, "stop")).response.finish_reason == "tool_calls"


def test_a15_a_chunk_without_choices_does_not_end_the_stream():
    """Filter results come first, keep-alives between, and the counts behind the finish reason."""
    empty = {"id": "", "choices": []}
    heard = answer(
        {**empty, "model": "", "prompt_filter_results": [{"prompt_index": 0}]},
        chunk({"content": "He"}),
        {**empty, "usage": {**USAGE, "completion_tokens": 1}},
        chunk({"content": "llo"}),
        chunk({}, "stop"),
        {**empty, "usage": USAGE},
        empty,
    )
    assert heard.items[0].content == "Hello"
    assert heard.response.usage.completion_tokens == 9
    assert heard.step_done.model_id == "m-1"
    assert heard.step_done.provider_response_id == "c1"


def test_c8_the_end_of_the_bytes_is_success_behind_a_finish_reason_only():
    """`[DONE]` may be missing; a finish reason may be, where `[DONE]` stands; not both, and not the whole answer."""
    text, stop = chunk({"content": "Hi"}), chunk({}, "stop")
    assert answer(text, stop, done=False).response.status == "complete"
    assert answer(text).response.status == "complete"
    assert answer(text, done=False).response.error.code == "stream_interrupted"
    assert answer().response.error.code == "stream_interrupted"


def test_an_error_behind_the_finish_reason_is_an_error():
    """So are the words that say that the answer broke off, and an error in a choice."""
    text, error = chunk({"content": "Hi"}, "length"), {"code": 400, "message": "Token limit reached"}
    heard = answer(text, chunk({}, error=error, usage=USAGE))
    assert (heard.response.error.code, heard.response.usage.total_tokens) == ("invalid_request", 29)
    assert answer(chunk({"content": "Hi"}, "error")).response.error.code == "server_error"
    body = {"choices": [{"message": {"content": "Hi"}, "error": {"code": 502, "message": "Bad gateway"}}]}
    assert hear(WIRE, body, whole=True).response.error.code == "server_error"


@pytest.mark.parametrize(
    "deltas",
    [
        [{"reasoning_content": "I "}, {"reasoning_content": "see."}],
        [{"reasoning": "I "}, {"reasoning": "see.", "reasoning_content": None}],
        [{"reasoning_text": "I see."}],
        [{"reasoning": "I see.", "reasoning_content": "I see."}],
        [
            {"reasoning": "I ", "reasoning_details": [{"type": "reasoning.text", "text": "I "}]},
            {"reasoning": "see.", "reasoning_details": [{"type": "reasoning.text", "text": "see."}]},
        ],
        [{"reasoning_details": [{"type": "reasoning.summary", "summary": "I see."}]}],
        [{"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "I see."}]}]}],
        [{"content": [{"type": "thinking", "thinking": "I see."}]}],
    ],
)
def test_reasoning_goes_by_many_names(deltas):
    """One reasoning item, ended when the text begins."""
    heard = answer(*map(chunk, deltas), chunk({"content": "So."}, "stop"))
    assert [item.content for item in heard.items] == ["I see.", "So."]
    assert heard.types == ["reasoning", "message"]
    assert "".join(heard.deltas()) == "I see.So."


def test_reasoning_that_is_signed_or_encrypted_goes_back_as_one_list():
    """Pieces of one detail are put together; details without either need not go back."""
    first = {"type": "reasoning.text", "index": 0, "format": None, "text": "I "}
    heard = answer(
        chunk({"reasoning_details": [first]}),
        chunk({"reasoning_details": [{**first, "text": "see."}]}),
        chunk({"reasoning_details": [{"type": "reasoning.text", "index": 0, "signature": "sig"}]}),
        chunk({"reasoning_details": [{"type": "reasoning.encrypted", "index": 1, "data": "sealed"}]}),
        chunk({"content": "So."}),
        chunk({"reasoning": "Once more."}, "stop"),
    )
    assert heard.types == ["reasoning", "message", "reasoning"]
    opaque = heard.items[0].opaque
    assert opaque.kind == "reasoning_details"
    assert codec.decode_any(opaque.data) == [
        {"type": "reasoning.text", "index": 0, "format": None, "signature": "sig", "text": "I see."},
        {"type": "reasoning.encrypted", "index": 1, "data": "sealed"},
    ]
    assert heard.items[2].opaque is None


def test_a_refusal_an_annotation_probabilities_and_a_picture_are_parts():
    """The refusal's text is text, too; probabilities of other texts are told as they are."""
    url = {"type": "url_citation", "url_citation": {"url": "https://example.org"}}
    token = {"token": "Hi", "logprob": -0.5}
    with_probabilities = chunk({"content": "Hi"})
    with_probabilities["choices"][0]["logprobs"] = {"content": [token], "refusal": [token]}
    heard = answer(
        with_probabilities,
        chunk({"annotations": [url]}),
        chunk({"refusal": "N"}),
        chunk({"refusal": "o."}),
        chunk({"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}, "stop"),
    )
    parts = [
        TextPart(text="Hi", annotations=[url], logprobs=[token]),
        RefusalPart(refusal="No."),
        ImagePart(url="data:image/png;base64,AA=="),
    ]
    assert heard.items == [MessageItem(id="item_1", content="HiNo.", parts=parts)]
    assert heard.events("logprobs") == [{"refusal": [token]}]
    assert heard.deltas("refusal") == ["N", "o."]


def test_other_choices_travel_as_they_are():
    """Only the first becomes items."""
    other = {"index": 1, "delta": {"content": "Ho"}}
    heard = answer({"choices": [other, {"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]})
    assert heard.items[0].content == "Hi"
    assert heard.events("choice") == [other]


def test_what_a_delta_and_a_content_list_bring_besides_is_kept():
    """Tools that the provider ran, sound, references."""
    ran = [{"type": "search", "output": "found"}]
    reference = {"type": "reference", "reference_ids": [1]}
    heard = answer(
        chunk({"executed_tools": ran, "audio": {"id": ""}, "role": "assistant"}),
        chunk({"content": [reference, {"type": "text", "text": "Hi"}, "odd"]}, "stop"),
    )
    assert heard.events("executed_tools") == [ran]
    assert heard.events("content_part") == [reference]
    assert heard.events("audio") == []


def test_facts_about_the_answer_are_told_once_or_when_they_change():
    """Padding and echoes are no news; what the counts say besides travels whole."""
    facts = {"service_tier": "flex", "citations": ["https://example.org"], "obfuscation": "xyz", "p": "abc"}
    heard = answer(
        chunk({"content": "a"}, **facts, fingerprint="one"),
        chunk({"content": "b"}, **facts, fingerprint="two"),
        chunk({}, "stop", **facts, fingerprint="two", usage={**USAGE, "cost": 0.5, "num_sources_used": 3}),
    )
    assert heard.events("fingerprint") == ["one"]
    told = {"service_tier": "flex", "citations": ["https://example.org"], "fingerprint": "two"}
    assert heard.events("response") == [told]
    assert heard.response.usage.cost_usd == 0.5
    assert heard.events("usage") == [{**USAGE, "cost": 0.5, "num_sources_used": 3}]


@pytest.mark.parametrize(
    "fields",
    [
        {"usage": {**USAGE, "prompt_cache_hit_tokens": 8}},
        {"x_groq": {"usage": {**USAGE, "prompt_tokens_details": {"cached_tokens": 8}}}},
        {"choices": [{"usage": {**USAGE, "prompt_tokens_details": {"cached_tokens": 8}}, "delta": {}}]},
    ],
)
def test_usage_stands_in_many_places(fields):
    """At the top, in a vendor's corner, in the choice; cached tokens under two names."""
    heard = answer(chunk({"content": "Hi"}, "stop"), {**chunk({}), **fields})
    assert (heard.response.usage.prompt_tokens, heard.response.usage.cached_tokens) == (20, 8)


def test_a_chunk_that_repeats_the_whole_message_adds_nothing():
    """The delta holds."""
    first, last = chunk({"content": "He"}), chunk({}, "stop")
    last["choices"][0]["message"] = {"content": "He"}
    assert answer(first, last).items[0].content == "He"


def test_legacy_and_custom_calls_and_what_must_go_back_with_one():
    """`function_call`, free text for a custom tool, and a gateway's own addition."""
    legacy = [chunk({"function_call": {"name": "f", "arguments": ""}}), chunk({"function_call": {"arguments": "{}"}})]
    assert answer(*legacy, chunk({}, "function_call")).calls == [("f", "{}", "item_1")]
    custom = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "run", "input": "print(1)"}}
    signed = {**entry(1, "d", name="f", arguments="{}"), "extra_content": {"google": {"thought_signature": "s"}}}
    heard = answer(calling(custom, signed), chunk({}, "tool_calls"))
    assert (heard.items[0].kind, heard.items[0].arguments) == ("custom", "print(1)")
    assert heard.items[1].opaque.kind == "extra_content"
    assert heard.items[1].opaque.data == '{"google":{"thought_signature":"s"}}'


def host(**quirks: Any) -> DecodeContext:
    """A host with these quirks."""
    return DecodeContext(provider_id="p", model_id="m", quirks=quirks)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning_details"])
def test_reasoning_that_is_said_again_with_each_delta_is_heard_once(name):
    """Where the host's row says that it may be; elsewhere what is said twice is meant twice."""
    said = ["Look", "Look at", " the", "Look at the clock"]
    deltas = [text if name == "reasoning_content" else [{"type": "reasoning.text", "text": text}] for text in said]
    stream = sse(*(chunk({name: delta}) for delta in deltas), chunk({"content": "Ten."}, "stop"), done=True)
    assert hear(WIRE, stream, context=host(cumulative_reasoning=True)).items[0].content == "Look at the clock"
    assert hear(WIRE, stream).items[0].content == "LookLook at theLook at the clock"


TOKEN = "<\uff5cend\u2581of\u2581sentence\uff5c>"


@pytest.mark.parametrize("size", range(1, len(TOKEN) + 3))
def test_a_models_own_tokens_are_taken_out_of_its_text(size):
    """However they are split; what only looks like one stays, also where the text ends in it."""
    text = f"a < b {TOKEN}<\uff5c c{TOKEN}{TOKEN}<\uff5cd"
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    events = [
        *(chunk({"reasoning_content": piece}) for piece in pieces),
        *(chunk({"content": piece}) for piece in pieces),
    ]
    stream = sse(*events, chunk({}, "stop"), done=True)
    heard = hear(WIRE, stream, context=host(special_tokens=True))
    assert [item.content for item in heard.items] == ["a < b <\uff5c c<\uff5cd"] * 2
    assert [item.content for item in hear(WIRE, stream).items] == [text] * 2


def test_an_answer_of_nothing_but_length_means_that_the_context_is_full():
    """Where the host's row says so; an answer with something in it has only been cut."""
    full = host(empty_length_is_overflow=True)
    heard = hear(WIRE, sse(chunk({"content": ""}, "length"), done=True), context=full)
    assert heard.response.error.code == "context_overflow"
    for delta in ({"content": "a"}, {"tool_calls": [entry(0, "c", name="f", arguments="{}")]}):
        cut = hear(WIRE, sse(chunk(delta, "length"), done=True), context=full)
        assert cut.response.finish_reason == "length"
    assert hear(WIRE, sse(chunk({"content": ""}, "length"), done=True)).response.error is None


def test_an_answer_with_nothing_in_it_has_no_items():
    """Empty strings are no content."""
    heard = answer(chunk({"role": "assistant", "content": "", "refusal": "", "tool_calls": None}), chunk({}, "stop"))
    assert heard.items == []
    assert heard.response.finish_reason == "stop"
