"""Gemini's answers: parts, thought signatures, calls whole and in pieces, blocks, finish reasons, counts."""

from itertools import pairwise
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.adapters.base import Callee, DecodeContext
from tailrace.adapters.google_gemini.partial_args import PartialArguments
from tailrace.adapters.wires import WIRES
from tailrace.schema.items import CancelledItem, ImagePart, MessageItem, Opaque, ProviderItem, TextPart
from tests.support.decoding import CONTEXT, hear, sse

WIRE = "google-gemini"
SIGNATURE = "EqwCCqkCAQw51sdT+/=="


def said(*parts, finish=None, **fields):
    """One response of a stream."""
    reason = {"finishReason": finish} if finish else {}
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, **reason, **fields}]}


END = said(finish="STOP")


def heard(*parts, finish="STOP", **fields):
    """What comes of these parts, each in a response of its own."""
    return hear(WIRE, sse(*(said(part) for part in parts), said(finish=finish, **fields)))


def sealed(part, data=SIGNATURE):
    return Opaque(provider_id="p", model_id="m", kind=f"thoughtSignature/{part}", data=data)


def call(name="look", **fields):
    return {"functionCall": {"name": name, **fields}}


# --- parts --------------------------------------------------------------------------------------------------------


def test_texts_in_a_row_are_one_message_and_thoughts_one_reasoning():
    """What changes the kind begins another item."""
    thought = {"text": "hm", "thought": True}
    run = heard(thought, thought, {"text": "a"}, {"text": "b"}, call(), {"text": "c"})
    assert run.types == ["reasoning", "message", "function_call", "message"]
    assert [getattr(item, "content", None) for item in run.items] == ["hmhm", "ab", None, "c"]


def test_only_thought_true_is_a_thought():
    """A signature alone is not, nor is `false`."""
    run = heard({"text": "a", "thoughtSignature": SIGNATURE}, {"text": "b", "thought": False})
    assert run.types == ["message"]
    assert run.items[0].content == "ab"


def test_images_are_parts_of_the_message():
    """Between the texts, in order."""
    image = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    (message,) = heard({"text": "see"}, image, {"text": "so"}).items
    url = "data:image/png;base64,AAAA"
    assert message.parts == [TextPart(text="see"), ImagePart(url=url), TextPart(text="so")]
    assert message.content == "seeso"


@pytest.mark.parametrize(
    "part",
    [
        {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}},
        {"toolCall": {"id": "t", "toolType": "GOOGLE_SEARCH_WEB", "args": {"queries": ["x"]}}},
        {"inlineData": {"mimeType": "audio/L16", "data": "AAAA"}},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thought": True},
        {"wonder": {"deep": [1]}, "partMetadata": {"a": 1}},
    ],
)
def test_what_has_no_word_is_a_provider_item_whole(part):
    """Under the name that the part has on the wire."""
    run = heard({"text": "a"}, part, {"text": "b"})
    assert run.types == ["message", "provider_item", "message"]
    assert (run.items[1].provider_type, run.items[1].data) == (next(iter(part)), part)


def test_facts_about_the_answer_are_told_once_at_its_end():
    """Grounding, citations, visited pages, ratings, and how it came to stop."""
    facts = {
        "groundingMetadata": {"groundingChunks": [{"web": {"uri": "https://host"}}]},
        "citationMetadata": {"citationSources": [{"startIndex": 1}]},
        "urlContextMetadata": {"urlMetadata": [{"retrievedUrl": "https://host"}]},
        "finishMessage": "done",
    }
    run = heard({"text": "a"}, **facts)
    assert run.events("response") == [facts]


def test_other_candidates_and_unknown_fields_are_kept():
    """As provider events, whole."""
    other = {"index": 1, "content": {"parts": [{"text": "also"}]}}
    data = sse({"candidates": [other]}, said({"text": "a", "videoMetadata": {"fps": 1}}), END)
    run = hear(WIRE, data)
    assert run.events("candidate") == [other]
    assert run.events("videoMetadata") == [{"fps": 1}]
    assert run.items[0].content == "a"


def test_token_probabilities_in_the_words_that_clients_know():
    """Each chosen token with those that stood beside it."""
    result = {
        "chosenCandidates": [{"token": "é", "tokenId": 7, "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "e", "logProbability": -1.5}]}],
    }
    (message,) = heard({"text": "é"}, logprobsResult=result).items
    top = {"token": "e", "logprob": -1.5, "bytes": [101]}
    expected = {"token": "é", "logprob": -0.5, "bytes": [195, 169], "tokenId": 7, "top_logprobs": [top]}
    assert message.parts == [TextPart(text="é", logprobs=[expected])]


# --- thought signatures -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        [{"text": "ab", "thoughtSignature": SIGNATURE}],
        [{"text": "a"}, {"text": "b"}, {"text": "", "thoughtSignature": SIGNATURE}],
        [{"text": "a", "thoughtSignature": SIGNATURE}, {"text": "b"}],
        [{"text": "ab"}, {"thoughtSignature": SIGNATURE}],
    ],
)
def test_a_text_s_signature_stays_with_its_message(parts):
    """Whether it comes with the text, on an empty one behind it, or on nothing; it is no reasoning."""
    run = heard(*parts)
    assert run.items == [MessageItem(id=run.items[0].id, content="ab", opaque=sealed("text"))]


def test_a_later_signature_replaces_the_old_one():
    """Which is told all the same."""
    run = heard({"text": "a", "thoughtSignature": "AAAA"}, {"text": "b", "thoughtSignature": SIGNATURE})
    assert run.items[0].opaque == sealed("text")
    assert run.events("thoughtSignature") == ["AAAA"]


def test_a6_a_call_s_signature_stands_before_it_with_the_thoughts():
    """With those under way, or by itself: byte for byte."""
    signed = {**call(), "thoughtSignature": SIGNATURE}
    run = heard({"text": "hm", "thought": True}, signed, call("go"))
    assert run.types == ["reasoning", "function_call", "function_call"]
    assert (run.items[0].content, run.items[0].opaque) == ("hm", sealed("functionCall"))
    run = heard({"text": "a"}, signed)
    assert run.types == ["message", "reasoning", "function_call"]
    assert (run.items[1].content, run.items[1].opaque) == ("", sealed("functionCall"))


def test_a_provider_s_own_part_is_signed_the_same_way():
    """Its data are whole but for the signature, which is bound to its model."""
    part = {"toolCall": {"id": "t"}}
    run = heard({**part, "thoughtSignature": SIGNATURE})
    assert run.types == ["reasoning", "provider_item"]
    assert (run.items[0].opaque, run.items[1].data) == (sealed("toolCall"), part)


# --- calls --------------------------------------------------------------------------------------------------------


def test_calls_without_an_id_get_one_and_no_two_the_same():
    """Absent or used twice in the answer: the item's own."""
    run = heard(call(args={"a": 1}), call(id="x"), call(id="x"), call())
    assert [(name, arguments) for name, arguments, _ in run.calls] == [("look", '{"a":1}')] + [("look", "{}")] * 3
    ids = [call_id for *_, call_id in run.calls]
    assert len(set(ids)) == 4
    assert ids[1] == "x"
    assert run.step_done.finish_reason == "tool_calls"


def test_a_free_text_tool_s_call_comes_back_as_free_text():
    """And a flat name as its tool's own."""
    callees = {"patch": Callee("patch", None, True), "files__read": Callee("read", "files")}
    context = DecodeContext(provider_id="p", model_id="m", callees=callees)
    data = sse(said(call("patch", args={"input": "*** é"}), call("files__read")), END)
    patch, read = hear(WIRE, data, context=context).items
    assert (patch.name, patch.arguments, patch.kind) == ("patch", "*** é", "custom")
    assert (read.name, read.namespace) == ("read", "files")


def pieces(*places, **fields):
    """A response with pieces of arguments: `places` are JSON Paths with their values."""
    names = {str: "stringValue", float: "numberValue", bool: "boolValue", type(None): "nullValue"}
    args = [{"jsonPath": path, names[type(value)]: value} for path, value in places]
    return {"functionCall": {"partialArgs": args, **fields}}


BEGUN = call(willContinue=True)


def test_arguments_in_pieces_make_one_call():
    """Strings in several, nested places, and the end said by the last piece, by an empty one, or by what comes next."""
    some = [
        pieces(("$.rows[0].name", "a"), willContinue=True),
        pieces(("$.rows[0].name", "b"), ("$.rows[1]['odd key']", 0.5), ("$.on", True), willContinue=True),
    ]
    arguments = '{"rows":[{"name":"ab"},{"odd key":0.5}],"on":true,"no":null}'
    last = pieces(("$.no", None))
    for end in ([last], [pieces(("$.no", None), willContinue=True), {"functionCall": {}}]):
        assert [call[1] for call in heard({**BEGUN, "thoughtSignature": SIGNATURE}, *some, *end).calls] == [arguments]
    run = heard(BEGUN, *some, pieces(("$.no", None), willContinue=True), {"text": "so"})
    assert [call[1] for call in run.calls] == [arguments]
    assert run.types == ["function_call", "message"]


@pytest.mark.parametrize("end", [[], [said(finish="MAX_TOKENS")], [{"error": {"status": "UNAVAILABLE"}}]])
def test_a2_a_call_that_was_cut_in_pieces_is_never_run(end):
    """By the end of the bytes, by a limit, by an error."""
    cut = pieces(("$.name", "a"), willContinue=True)
    run = hear(WIRE, sse(said(BEGUN), said(cut), *end))
    assert run.calls == []
    assert isinstance(run.items[0], CancelledItem)


@pytest.mark.parametrize("path", ["", "$", "a", "$.a[9]", "$..a", "$.b.c", "$.s.t", "$" + ".a" * 65, "$.a[*]", "$[0]"])
def test_a_piece_without_a_place_spoils_the_call(path):
    """It would be run with other arguments than the model's."""
    run = heard(BEGUN, pieces(("$.b", 1.0), ("$.s", "x"), willContinue=True), pieces((path, "lost")))
    assert run.calls == []
    assert run.types == ["cancelled"]


def test_pieces_of_10_mb_are_put_together_in_linear_time():
    """Ten pieces of 1 MB cost no more than ten times one of them, with room for noise."""

    def cost(count):
        began = process_time()
        arguments = PartialArguments()
        for _ in range(count):
            arguments.take({"jsonPath": "$.text", "stringValue": "x" * 1_000_000})
        assert len(arguments.value()["text"]) == count * 1_000_000
        return process_time() - began

    cost(1)
    assert cost(10) < 40 * max(cost(1), 0.001)


JSON = st.recursive(
    st.text(max_size=5) | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.text(max_size=4), inner, min_size=1),
    max_leaves=8,
)


def leaves(value, path="$"):
    """Each leaf with its place, in normalised paths (RFC 9535 §2.7)."""
    if isinstance(value, dict):
        for name, inner in value.items():
            escaped = name.replace("\\", "\\\\").replace("'", "\\'")
            yield from leaves(inner, f"{path}['{escaped}']")
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{at}]")
    else:
        yield path, value


@given(value=st.dictionaries(st.text(max_size=4), JSON, min_size=1), cut=st.integers(1, 4))
def test_any_arguments_come_together_again(value, cut):
    """However their strings are cut."""
    arguments = PartialArguments()
    for path, leaf in leaves(value):
        if isinstance(leaf, str):
            edges = [*range(0, len(leaf), cut), len(leaf)] if leaf else [0, 0]
            for start, end in pairwise(edges):
                arguments.take({"jsonPath": path, "stringValue": leaf[start:end]})
        else:
            name = {bool: "boolValue", float: "numberValue"}.get(type(leaf), "nullValue")
            arguments.take({"jsonPath": path, name: leaf})
    assert arguments.is_whole
    assert arguments.value() == value


# --- the end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("CONTINUATION", "pause"),
    ],
)
def test_finish_reasons(finish, reason):
    """In our words."""
    run = heard({"text": "a"}, finish=finish)
    assert (run.response.status, run.step_done.finish_reason) == ("complete", reason)


@pytest.mark.parametrize("finish", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER", "NO_IMAGE"])
def test_reasons_that_say_that_the_answer_broke_off(finish):
    """An error, with the provider's own words; what came stays, as far as it came."""
    run = heard({"text": "a"}, finish=finish, finishMessage="It went wrong.")
    assert run.response.status == "error"
    assert finish in run.response.error.message
    assert "It went wrong." in run.response.error.message
    assert run.items[0].partial.content == "a"


def test_an_unknown_reason_is_told():
    """And the answer is whole."""
    run = heard({"text": "a"}, finish="WONDER")
    assert run.step_done.finish_reason == "stop"
    assert run.events("response") == [{"finishReason": "WONDER"}]


def test_a_finish_reason_on_every_response_ends_nothing_early():
    """As older models said it: what comes behind the first one counts."""
    run = hear(WIRE, sse(said({"text": "a"}, finish="STOP"), said({"text": "b"}, finish="STOP")))
    assert run.items[0].content == "ab"


@pytest.mark.parametrize("whole", [True, False])
def test_a_blocked_prompt_is_an_error(whole):
    """There is no candidate; the counts are told."""
    feedback = {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "Not this."}
    body = {"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 7, "totalTokenCount": 7}}
    run = hear(WIRE, body if whole else sse(body), whole=whole)
    assert run.response.error.code == "content_filter"
    assert "Not this." in run.response.error.message
    assert run.response.usage.prompt_tokens == 7
    assert run.events("response") == [{"promptFeedback": feedback}]


def test_an_answer_without_a_finish_reason_is_interrupted():
    """Also where it is not streamed (A1)."""
    for run in (hear(WIRE, sse(said({"text": "a"}))), hear(WIRE, said({"text": "a"}), whole=True)):
        assert run.response.error.code == "stream_interrupted"


def test_thoughts_and_tools_count():
    """Thoughts as completion and as reasoning, what tools read as prompt, cached tokens as a part of it."""
    usage = {
        "promptTokenCount": 32, "candidatesTokenCount": 41, "thoughtsTokenCount": 47, "toolUsePromptTokenCount": 2395,
        "cachedContentTokenCount": 16, "totalTokenCount": 2515, "trafficType": "ON_DEMAND",
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 32}],
    }  # fmt: skip
    mid = {**said({"text": "a"}), "usageMetadata": {"trafficType": "ON_DEMAND"}}
    run = hear(WIRE, sse(mid, {**END, "usageMetadata": usage}))
    told = run.response.usage
    assert (told.prompt_tokens, told.completion_tokens, told.total_tokens) == (2427, 88, 2515)
    assert (told.cached_tokens, told.reasoning_tokens) == (16, 47)
    assert run.events("usage") == [usage]


def test_counts_that_say_no_more_are_not_told_twice():
    """A breakdown of nothing but text."""
    usage = {"promptTokenCount": 1, "totalTokenCount": 1, "promptTokensDetails": [{"modality": "TEXT"}]}
    assert hear(WIRE, sse({**END, "usageMetadata": usage})).events("usage") == []


def test_the_wire_s_provider_items_hold_their_data():
    """Nothing of an unknown part is shared with the decoder's own state."""
    run = heard({"wonder": {"a": 1}})
    assert isinstance(run.items[0], ProviderItem)


@pytest.mark.slow
def test_150_000_events_are_decoded_in_a_second():
    """The issue's goal, with typical deltas in typical network reads; half of it here, on a machine that is shared."""
    usage = {"promptTokenCount": 10, "totalTokenCount": 10, "promptTokensDetails": [{"modality": "TEXT"}]}
    chunk = sse({**said({"text": "Every piece is "}, index=0), "usageMetadata": usage, "responseId": "r"}) * 64
    decoder = WIRES[WIRE].decoder(CONTEXT)
    began, events = process_time(), 0
    for _ in range(1000):
        events += len(decoder.feed(chunk))
    assert events / (process_time() - began) > 75_000
