"""The Responses dialect: the log inflated into full event sequences, a pure fold, legal whatever the log holds."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tailrace.dialects.base import FULL, Frame, View
from tailrace.dialects.responses.encode import RESPONSES, ResponsesEncoder
from tailrace.dialects.responses.items import item_id
from tailrace.dialects.responses.sealed import unseal
from tailrace.dialects.responses.whole import to_object
from tailrace.fold.reducer import Reducer, fold
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.events import (
    ItemCancelled,
    ItemDelta,
    ItemDone,
    ItemError,
    ItemStart,
    Payload,
    ProviderEvent,
    ResponseDone,
    ResponseError,
    ResponseStart,
    StepDone,
    StepStart,
    TraceContext,
    TurnAborted,
)
from tailrace.schema.items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    MessageItem,
    Opaque,
    ProviderItem,
    ReasoningItem,
    RefusalPart,
    TextPart,
)
from tailrace.schema.request import Generation, RunRequest
from tailrace.schema.response import ErrorInfo, Usage
from tests.support.events import runs
from tests.support.linting import broken

Json = dict[str, Any]
TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
START = ResponseStart(response_id="resp_1", turn_id="t", thread_id="th", model_id="m", provider_id="p", created_at=5000)
STEP = StepStart(step=1, provider_id="p", model_id="m")
STEP_DONE = StepDone(step=1, provider_id="p", model_id="m", finish_reason="stop")
DONE = ResponseDone(response_id="resp_1", status="complete", finish_reason="stop")
USAGE = Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7, reasoning_tokens=2)


def asked(**fields: Any) -> ProviderEvent:
    return ProviderEvent(provider_id="tailrace", name="asked", data={"protocol": "responses", "asked": fields})


def frames(payloads: list[Payload], view: View = FULL) -> list[Frame]:
    encoder = ResponsesEncoder(view)
    batches = [Batch("resp_1", seq, 9000, TRACE, payloads=[one]) for seq, one in enumerate(payloads, 1)]
    return [frame for batch in batches for frame in encoder.encode(batch)]


def events(payloads: list[Payload], view: View = FULL) -> list[Json]:
    return [codec.decode_any(frame.data) for frame in frames(payloads, view)]


def types(payloads: list[Payload]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events(payloads)]


def text(*deltas: str, name: str = "a") -> list[Payload]:
    start = ItemStart(item_id=name, item_type="message")
    done = ItemDone(item_id=name, final_item=MessageItem(id=name, content="".join(deltas)))
    return [start, *(ItemDelta(item_id=name, delta_content=delta) for delta in deltas), done]


def run(*payloads: Payload, end: Payload = DONE, **said: Any) -> list[Payload]:
    return [START, asked(**said), STEP, *payloads, STEP_DONE, end]


def call(name: str = "look", arguments: str = "{}", **fields: Any) -> list[Payload]:
    item = FunctionCallItem(id="c", name=name, arguments=arguments, call_id="call_1", **fields)
    start = ItemStart(item_id="c", item_type="function_call", name=name, call_id="call_1")
    return [start, ItemDelta(item_id="c", delta_content=arguments), ItemDone(item_id="c", final_item=item)]


def test_a_text_becomes_a_full_sequence():
    """Created, in progress, the item, its part, its deltas, their ends, and one terminal event, in the spec's order."""
    assert types(run(*text("Hel", "lo"))) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip


def test_the_terminal_event_holds_the_response_with_all_its_keys():
    """31 required keys, and those that are never null are not there where nothing was asked."""
    said = events(run(*text("Hi"), model="fast", metadata={"a": "b"}, temperature=0.5))[-1]["response"]
    assert len(said) == 31
    assert (said["model"], said["metadata"], said["temperature"]) == ("fast", {"a": "b"}, 0.5)
    assert (said["status"], said["created_at"], said["completed_at"]) == ("completed", 5, 9)
    assert said["output"][0]["content"][0] == {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}
    assert "phase" not in said["output"][0]
    assert "verbosity" not in said["text"]


def consistent(payloads: list[Payload]) -> list[Payload]:
    """The run with deltas of main text only, and final items that are what their deltas add up to."""
    state, made = Reducer(), []
    for seq, payload in enumerate(payloads, 1):
        made.append(_consistent(payload, state))
        state.apply(seq, 0, made[-1])
    return made


def _consistent(payload: Payload, state: Reducer) -> Payload:
    if isinstance(payload, ItemDelta):
        return replace(payload, channel=None)
    item = state.item(payload.item_id) if isinstance(payload, ItemDone) else None
    return replace(payload, final_item=item) if isinstance(payload, ItemDone) and item else payload


# What a run of chance breaks by itself: counts that do not add up, and a good end behind an item that was cut.
CHANCE = {"usage", "incomplete-last"}


@settings(max_examples=150, deadline=None)
@given(runs().map(consistent), st.data())
def test_any_run_is_a_legal_stream_however_it_was_appended(payloads: list[Payload], data: st.DataObject):
    """Whatever the log holds, the linter finds nothing; and the frames do not depend on how events were batched."""
    whole = frames(payloads)
    ended = payloads[-1].__struct_config__.tag in {"response_done", "response_error", "turn_aborted_by_user"}
    if ended and len(payloads) > 1:
        stream = b"".join([frame.bare() for frame in whole]) + RESPONSES.closing
        assert broken("responses", stream, endpoint=True) - CHANCE == set()
    cuts = sorted(data.draw(st.sets(st.integers(1, len(payloads) - 1), max_size=5))) if len(payloads) > 1 else []
    encoder, batched = ResponsesEncoder(FULL), []
    for begin, end in zip([0, *cuts], [*cuts, len(payloads)], strict=True):
        batched += encoder.encode(Batch("r", begin + 1, 9000, TRACE, payloads=payloads[begin:end]))
    assert [frame.data for frame in batched] == [frame.data for frame in whole]


@given(st.lists(st.text(min_size=1, max_size=4), max_size=30))
def test_any_partition_of_arguments_comes_out_byte_exact(pieces: list[str]):
    """Fragments are increments by their event's type, never by what they look like (F2)."""
    whole = "".join(pieces) or "{}"
    item = FunctionCallItem(id="c", name="f", arguments=whole, call_id="x")
    start = ItemStart(item_id="c", item_type="function_call", name="f", call_id="x")
    grown: list[Payload] = [ItemDelta(item_id="c", delta_content=piece) for piece in pieces]
    said = events(run(start, *grown, ItemDone(item_id="c", final_item=item)))
    deltas = [event["delta"] for event in said if event["type"] == "response.function_call_arguments.delta"]
    done = next(event for event in said if event["type"] == "response.function_call_arguments.done")
    assert "".join(deltas) == done["arguments"] == said[-1]["response"]["output"][0]["arguments"] == whole


def test_a_call_keeps_its_ids_apart():
    """`call_id` is the call's, `id` the item's; both are the same in every event (K6)."""
    said = events(run(*call(arguments='{"a":1}')))
    added = next(event["item"] for event in said if event["type"] == "response.output_item.added")
    done = next(event["item"] for event in said if event["type"] == "response.output_item.done")
    assert added["call_id"] == done["call_id"] == "call_1"
    assert added["id"] == done["id"] == item_id("c", "function_call", "resp_1")
    assert len(added["id"]) <= 64


def test_a_call_whose_name_comes_late_is_announced_when_it_is_known():
    """A gateway that names a call at its end: added, one delta, done."""
    item = FunctionCallItem(id="c", name="f", arguments="{}", call_id="x")
    late: list[Payload] = [
        ItemStart(item_id="c", item_type="function_call"),
        ItemDelta(item_id="c", delta_content="{"),
        ItemDelta(item_id="c", delta_content="}"),
        ItemDone(item_id="c", final_item=item),
    ]
    assert types(run(*late))[2:-1] == [
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
    ]  # fmt: skip


def test_a_custom_tool_is_told_in_its_own_words():
    """Its input is free text, told whole: on the way it may have been wrapped."""
    wrapped = [
        ItemStart(item_id="c", item_type="function_call", name="patch", call_id="x", kind="custom"),
        ItemDelta(item_id="c", delta_content='{"input":"a"}'),
        ItemDone(
            item_id="c",
            final_item=FunctionCallItem(id="c", name="patch", arguments="a", call_id="x", kind="custom"),
        ),
    ]
    said = events(run(*wrapped, tools=[{"type": "custom", "name": "patch"}]))
    assert [event["type"].removeprefix("response.") for event in said[2:-1]] == [
        "output_item.added", "custom_tool_call_input.delta", "custom_tool_call_input.done", "output_item.done",
    ]  # fmt: skip
    assert said[-1]["response"]["output"][0]["input"] == "a"


def test_tools_that_are_not_allowed_are_not_passed_on():
    """`allowed_tools` is a hard limit; the others stay in `tools`, which is repeated as it came."""
    tools = [{"type": "function", "name": name} for name in ("look", "delete")]
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "look"}]}
    said = events(run(*call("delete"), *text("Hi"), tools=tools, tool_choice=choice))
    assert [item["type"] for item in said[-1]["response"]["output"]] == ["message"]
    assert [event["output_index"] for event in said if "output_index" in event] == [0] * 6
    assert said[-1]["response"]["tools"] == tools


def test_summaries_come_part_by_part():
    """A delta with a part is a summary's; the blank line between parts is nobody's."""
    item = ReasoningItem(id="r", content="One\n\nTwo", summary_parts=["One", "Two"])
    grown: list[Payload] = [
        ItemStart(item_id="r", item_type="reasoning"),
        ItemDelta(item_id="r", delta_content="One", part=0),
        ItemDelta(item_id="r", delta_content="\n\n"),
        ItemDelta(item_id="r", delta_content="Tw", part=1),
        ItemDone(item_id="r", final_item=item),
    ]
    said = events(run(*grown))
    deltas = [(e["summary_index"], e["delta"]) for e in said if e["type"] == "response.reasoning_summary_text.delta"]
    assert deltas == [(0, "One"), (1, "Tw"), (1, "o")]
    assert [part["text"] for part in said[-1]["response"]["output"][0]["summary"]] == ["One", "Two"]


def test_own_reasoning_has_the_name_of_the_form_that_was_asked_for():
    """OpenAI's name for SDKs, Open Responses' own where the request says so."""
    grown: list[Payload] = [
        ItemStart(item_id="r", item_type="reasoning"),
        ItemDelta(item_id="r", delta_content="Hm."),
        ItemDone(item_id="r", final_item=ReasoningItem(id="r", content="Hm.")),
    ]
    assert {"reasoning_text.delta", "reasoning_text.done"} <= set(types(run(*grown)))
    assert {"reasoning.delta", "reasoning.done"} <= set(types(run(*grown, open_responses=True)))


def test_continuation_data_is_sealed_and_only_where_it_was_asked_for():
    """`encrypted_content` holds what it is bound to, and the provider's own id of the item."""
    opaque = Opaque(provider_id="p", model_id="m", kind="signature", data="s")
    done = ItemDone(item_id="rs_9", final_item=ReasoningItem(id="rs_9", content="x", opaque=opaque))
    thought: list[Payload] = [ItemStart(item_id="rs_9", item_type="reasoning"), done]
    plain = events(run(*thought))[-1]["response"]["output"][0]
    sealed = events(run(*thought, include=["reasoning.encrypted_content"]))[-1]["response"]["output"][0]
    assert "encrypted_content" not in plain
    assert unseal(sealed["encrypted_content"]) == ("rs_9", opaque)


def test_refusals_annotations_and_probabilities():
    """Each has its own event, and all of them stand in the final part."""
    citation = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
    logprob = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}
    item = MessageItem(
        id="a", content="ano",
        parts=[TextPart(text="a", annotations=[citation], logprobs=[logprob]), RefusalPart(refusal="no")],
    )  # fmt: skip
    said = events(
        run(
            ItemStart(item_id="a", item_type="message"),
            ItemDelta(item_id="a", delta_content="a"),
            ItemDelta(item_id="a", delta_content=codec.encode(citation).decode(), channel="annotation"),
            ItemDelta(item_id="a", delta_content=codec.encode([logprob]).decode(), channel="logprobs"),
            ItemDelta(item_id="a", delta_content="no", channel="refusal", part=1),
            ItemDone(item_id="a", final_item=item),
        )
    )
    kinds = [event["type"].removeprefix("response.") for event in said]
    assert kinds.count("output_text.annotation.added") == 1
    assert kinds.count("refusal.delta") == kinds.count("refusal.done") == 1
    assert [event["logprobs"] for event in said if event["type"] == "response.output_text.delta"] == [[], [logprob]]
    content = said[-1]["response"]["output"][0]["content"]
    assert content == [
        {"type": "output_text", "text": "a", "annotations": [citation], "logprobs": [logprob]},
        {"type": "refusal", "refusal": "no"},
    ]


def test_f16_the_terminal_event_says_how_it_ended():
    """Name, status and details agree, for each way to end."""
    cut = ResponseDone(response_id="resp_1", status="complete", finish_reason="length")
    failed = ResponseError(response_id="resp_1", error=ErrorInfo(code="rate_limited", message="slow down"))
    ends: list[tuple[Payload, str, str]] = [
        (DONE, "completed", "completed"),
        (cut, "incomplete", "incomplete"),
        (failed, "failed", "failed"),
        (TurnAborted(turn_id="t", reason="x"), "incomplete", "cancelled"),
    ]
    for end, kind, status in ends:
        last = events(run(*text("Hi"), end=end))[-1]
        assert (last["type"], last["response"]["status"]) == (f"response.{kind}", status)
    assert events(run(end=cut))[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_f13_an_error_is_told_in_both_forms_and_then_the_response_failed():
    """One SDK raises on the nested form, another on the flat one; the code is OpenAI's."""
    failed = ResponseError(response_id="resp_1", error=ErrorInfo(code="context_overflow", message="too long"))
    error, last = events(run(end=failed))[-2:]
    assert error["type"] == "error"
    assert error["code"] == error["error"]["code"] == "context_length_exceeded"
    assert error["message"] == error["error"]["message"] == "too long"
    assert last["response"]["error"] == {"code": "context_length_exceeded", "message": "too long"}


def test_what_was_cut_ends_incomplete_where_it_stood():
    """A message and a call that will never be whole: as far as they came, then the response's own end."""
    cut: list[Payload] = [
        ItemStart(item_id="a", item_type="message"),
        ItemDelta(item_id="a", delta_content="Hel"),
        ItemError(item_id="a", error=ErrorInfo(code="timeout", message="x")),
        ItemStart(item_id="c", item_type="function_call", name="f", call_id="x"),
        ItemDelta(item_id="c", delta_content='{"a'),
        ItemCancelled(item_id="c", reason="length"),
    ]
    failed = ResponseError(response_id="resp_1", error=ErrorInfo(code="timeout", message="x"))
    output = events(run(*cut, end=failed))[-1]["response"]["output"]
    assert [(item["type"], item["status"]) for item in output] == [
        ("message", "incomplete"), ("function_call", "incomplete"),
    ]  # fmt: skip
    assert output[0]["content"][0]["text"] == "Hel"
    assert output[1]["arguments"] == '{"a'


def test_what_the_user_said_is_no_output():
    """Input stands before the first step, outputs of the client's tools have its origin; neither is told."""
    given_items = [
        payload
        for item in (
            MessageItem(id="u", content="hi", origin="user"),
            MessageItem(id="old", content="before"),
            FunctionCallOutputItem(id="o", call_id="x", output="y", success=True, origin="user"),
        )
        for payload in (ItemStart(item_id=item.id, item_type=item.__struct_config__.tag), ItemDone(
            item_id=item.id, final_item=item))
    ]  # fmt: skip
    said = events([START, asked(), *given_items, STEP, *text("Hi"), STEP_DONE, DONE])
    assert [item["role"] for item in said[-1]["response"]["output"]] == ["assistant"]


def test_a_providers_own_items_are_told_where_the_api_knows_them():
    """A web search is one of the API's types; another provider's tool use is not, and stays in the native view."""
    known = ProviderItem(id="ws_1", provider_type="web_search_call", data={"id": "ws_1", "status": "completed"})
    other = ProviderItem(id="x", provider_type="server_tool_use", data={"id": "x"})
    payloads: list[Payload] = []
    for item in (known, other):
        payloads.append(ItemStart(item_id=item.id, item_type="provider_item", provider_type=item.provider_type))
        payloads.append(ItemDone(item_id=item.id, final_item=item))
    output = events(run(*payloads))[-1]["response"]["output"]
    assert output == [{"id": "ws_1", "type": "web_search_call", "status": "completed"}]


def test_a_response_in_the_background_is_queued_first():
    """Created and queued, in progress when the model is asked."""
    said = events(run(*text("Hi"), background=True))
    assert [event["type"] for event in said[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert [event["response"]["status"] for event in said[:3]] == ["queued", "queued", "in_progress"]


def test_a_view_leaves_items_out_without_gaps():
    """Hidden reasoning takes no index; numbering stays dense."""
    thought: list[Payload] = [
        ItemStart(item_id="r", item_type="reasoning"),
        ItemDone(item_id="r", final_item=ReasoningItem(id="r", content="x")),
    ]
    said = events(run(*thought, *text("Hi")), View(reasoning="none"))
    assert {event["output_index"] for event in said if "output_index" in event} == {0}
    assert [event["sequence_number"] for event in said] == list(range(len(said)))


def test_another_protocols_run_is_told_with_what_was_asked_for_in_it_left_out():
    """Its words for tools are not this one's; the model's name is everybody's."""
    other = ProviderEvent(
        provider_id="tailrace", name="asked", data={"protocol": "chat", "asked": {"model": "fast", "tools": [1]}}
    )
    said = events([START, other, STEP, *text("Hi"), STEP_DONE, DONE])[-1]["response"]
    assert (said["model"], said["tools"]) == ("fast", [])


def test_the_stream_ends_in_what_a_retrieval_gives():
    """Rule 6: the terminal event's response is the stored run's, to the key."""
    opaque = Opaque(provider_id="p", model_id="m", kind="k", data="d")
    payloads = run(
        ItemStart(item_id="r", item_type="reasoning"),
        ItemDelta(item_id="r", delta_content="Hm"),
        ItemDone(item_id="r", final_item=ReasoningItem(id="r", content="Hm", opaque=opaque)),
        *text("Hi"),
        *call(),
        end=ResponseDone(response_id="resp_1", status="complete", finish_reason="tool_calls", usage=USAGE),
        include=["reasoning.encrypted_content"],
        max_output_tokens=9,
    )
    batches = [Batch("resp_1", 1, 9000, TRACE, payloads=payloads)]
    request = RunRequest(
        run_id="resp_1", turn_id="t", thread_id="th", provider_id="p", model_id="m", input=[], generation=Generation(),
        protocol="responses", asked={"include": ["reasoning.encrypted_content"], "max_output_tokens": 9},
    )  # fmt: skip
    said = events(payloads)[-1]["response"]
    assert said == to_object(fold(batches), request)
    assert said["usage"]["output_tokens_details"] == {"reasoning_tokens": 2}
