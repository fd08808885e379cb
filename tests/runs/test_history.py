"""The conversation that a model call is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tailrace.adapters.anthropic_messages.request import build as messages
from tailrace.adapters.bedrock_converse.request import build as converse
from tailrace.adapters.canonical import MISSING
from tailrace.adapters.ollama.request import build as ollama
from tailrace.adapters.openai_chat_completions.request import build as chat
from tailrace.adapters.openai_responses.request import build as responses
from tailrace.runs.history import ABORTED, CUT, NO_RESULT, STALE, STALE_CHARACTERS, conversation
from tailrace.schema import codec
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import (
    CancelledItem,
    ErrorItem,
    FunctionCallItem,
    FunctionCallOutputItem,
    ImagePart,
    ProviderItem,
    ReasoningItem,
)
from tailrace.schema.response import Response
from tailrace.testing.wires import bedrock as scripted_bedrock
from tailrace.testing.wires import chat as scripted_chat
from tailrace.testing.wires import messages as scripted_messages
from tailrace.testing.wires import ollama as scripted_ollama
from tailrace.testing.wires import responses as scripted_responses
from tailrace.testing.wires.base import Memory
from tests.support.items import ELSEWHERE, HERE, agent, any_items, ask, call, opaque, output, run, system, thought, user


def said(*items):
    return conversation([], run(*items))


def test_c3_turn_2_holds_turn_1():
    """A second turn's request contains what was said in the first."""
    items = conversation([run(user("my number is 4711"), agent("noted"))], run(user("which number?")))
    for build in (responses, messages, chat):
        assert b"4711" in codec.encode(build(ask(*items), {}))
    assert [item.content for item in items] == ["my number is 4711", "noted", "which number?"]


def test_c17_malformed_arguments_stay_in_history_as_they_are():
    """What the wire makes of them is the wire's affair."""
    items = said(user(), call(arguments='{"at'), output(success=False))
    assert items[1].arguments == '{"at'


def test_c19_a_dangling_call_is_answered():
    """A run that ended before its tool leaves a call that says so."""
    items = conversation([run(user(), call())], run(user("next")))
    assert items[2] == FunctionCallOutputItem(id="fc_c1_no_result", call_id="c1", output=NO_RESULT, success=False)
    assert items[3].content == "next"


def test_c23_failure_stays_failure_in_history():
    """`success` false is neither lost nor turned."""
    assert said(user(), call(), output(text="exit 3", success=False))[2].success is False


def test_a9_a_call_id_that_comes_again_is_told_apart():
    """Some hosts count their calls anew in each answer; no provider takes one id twice."""
    items = conversation([run(user(), call("c1"), output("c1", "one"))], run(user(), call("c1"), output("c1", "two")))
    pairs = [(item.call_id, item.output) for item in items if isinstance(item, FunctionCallOutputItem)]
    assert pairs == [("c1", "one"), ("c1_2", "two")]
    assert [item.call_id for item in items if isinstance(item, FunctionCallItem)] == ["c1", "c1_2"]


def test_a20_a_reload_gives_the_exact_next_request():
    """Stored and read again, opaque reasoning included, the same bytes are asked on every wire."""
    earlier = [
        run(
            user("see", parts=[ImagePart(url="data:image/png;base64,AAAA")]),
            thought("hm", "signature", "EqQB+/=="),
            thought("", "redacted_thinking", "Ep8C"),
            thought("s", "encrypted_content", "gAAAA"),
            call(arguments='{"at": "sky"}'),
            output(text="blue"),
            agent("It is blue."),
        ),
        run(user("why?"), CancelledItem(id="x", partial=agent("Because"))),
    ]
    current = run(user("go on"), call("c2"))
    again = [codec.decode(codec.encode(past), Response) for past in earlier]
    current_again = codec.decode(codec.encode(current), Response)
    for build in (responses, messages, chat):
        first = codec.encode(build(ask(*conversation(earlier, current)), {}))
        assert first == codec.encode(build(ask(*conversation(again, current_again)), {}))
    assert b"EqQB+/==" in codec.encode(messages(ask(*conversation(again, current_again)), {}))


@pytest.mark.parametrize("build", [responses, messages, chat])
def test_a21_text_that_was_cut_off_by_length_appears_once(build):
    """The truncated answer is in the next request, and not twice."""
    cut = run(user("tell me all"), agent("It began long ag"), finish_reason="length")
    body = codec.encode(build(ask(*conversation([cut], run(user("continue")))), {}))
    assert body.count(b"It began long ag") == 1


def test_a22_outputs_follow_the_order_of_their_calls():
    """Three tools that finish in reverse order are heard in the order in which they were asked."""
    items = said(user(), call("c1"), call("c2"), call("c3"), output("c3"), output("c2"), output("c1"), agent())
    assert [item.call_id for item in items[1:7]] == ["c1", "c2", "c3"] * 2


def test_a_late_output_moves_up_to_its_call():
    """The client may bring it after the user's next words."""
    items = conversation([run(user(), call())], run(user("next"), output(text="late")))
    assert [type(item).__name__ for item in items] == [
        "MessageItem", "FunctionCallItem", "FunctionCallOutputItem", "MessageItem",
    ]  # fmt: skip
    assert items[2].output == "late"


def test_a_second_output_goes():
    """A call has one answer."""
    items = said(user(), call("c1"), output("c1", "one"), output("c1", "two"))
    assert [item.output for item in items if isinstance(item, FunctionCallOutputItem)] == ["one"]


def test_an_output_without_its_call_is_the_users_note():
    """What a tool wrote is never the system's word; a long one is cut, and its pictures stay."""
    picture = ImagePart(url="https://host/a.png")
    items = said(output("c9", "stale", parts=[picture]), user(), output("c8", "x" * 20_000), agent())
    assert [(item.origin, item.id) for item in items] == [
        ("user", "out_c9_note"), ("user", "u"), ("user", "out_c8_note"), ("agent", "a"),
    ]  # fmt: skip
    assert items[0].content == STALE.format(call_id="c9") + "stale"
    assert items[0].parts == [picture]
    assert items[2].content == STALE.format(call_id="c8") + "x" * STALE_CHARACTERS + CUT


def test_a_stale_result_does_not_part_a_call_from_its_own():
    """It stands where it came; the call's own result still follows the call."""
    items = said(user(), call("c1"), output("c9", "stale"), output("c1", "blue"))
    assert [getattr(item, "output", None) for item in items] == [None, None, "blue", None]


def test_calls_that_nobody_answered_before_their_run_was_stopped_are_aborted():
    """An answer that came all the same counts, in the same run or with the next input."""
    stopped = replace(run(user(), call("c1"), call("c2"), output("c2")), status="aborted")
    broken = replace(run(user(), call("c3"), call("c4")), status="error")
    items = conversation([stopped, broken], run(output("c4", "late"), user("go on")))
    outputs = {item.call_id: item.output for item in items if isinstance(item, FunctionCallOutputItem)}
    assert outputs == {"c1": ABORTED, "c2": "done", "c3": ABORTED, "c4": "late"}


def test_reasoning_of_another_model_is_marked_as_such():
    """What says nothing of its home has its run's; in a run of the same model it stays as it is."""
    others = [replace(run(user(), thought(text), agent()), model_id="model-2") for text in ("hm", "so")]
    items = conversation([*others, run(user(), thought("hm"), agent())], run(user()))
    theirs = opaque("text", "", home=(HERE[0], "model-2"))
    kept = [(item.content, item.opaque) for item in items if isinstance(item, ReasoningItem)]
    assert kept == [("hm", theirs), ("so", theirs), ("hm", None)]


def test_outputs_of_an_earlier_runs_calls_come_with_a_later_input():
    """A run that ended with its calls; its client answers them, and adds a word."""
    earlier = [run(user(), call("c1"), call("c2"))]
    items = conversation(earlier, run(output("c2", "two"), user("go on"), output("c1", "one")))
    assert [getattr(item, "output", None) for item in items] == [None, None, None, "one", "two", None]
    assert items[5].content == "go on"


def test_a_call_that_is_said_once_more_is_the_same_call():
    """Some clients send the call again with its output, and the reasoning before it."""
    thinking = thought("", "encrypted_content", "gAAAA")
    search = ProviderItem(id="ws_1", provider_type="web_search_call", data={"type": "web_search_call", "id": "ws_1"})
    turn = [thinking, search, call("c1", '{"at": 1}')]
    items = conversation([run(user(), *turn)], run(*turn, output("c1", "blue"), user("and?")))
    assert items == [user(), *turn, output("c1", "blue"), user("and?")]


def test_another_call_under_the_same_id_is_another_call():
    """Also while the first one waits: then that one has no result."""
    items = conversation([run(user(), call("c1", '{"at": 1}'))], run(call("c1", '{"at": 2}'), output("c1", "two")))
    outputs = [(item.call_id, item.output) for item in items if isinstance(item, FunctionCallOutputItem)]
    assert outputs == [("c1", NO_RESULT), ("c1_2", "two")]


def test_a_whole_conversation_as_the_input_of_one_run():
    """As a client sends it that keeps it: the same items in the same order."""
    kept = [system("be brief"), user(), agent("I look"), call("c1"), output("c1"), agent("Blue."), user("why?")]
    assert said(*kept) == kept


def test_of_what_failed_only_the_agents_words_stay():
    """Partial text stays where it stood, as a message; half a call or half a thought does not."""
    items = said(
        user(),
        ErrorItem(id="e1", code="timeout", message="no", partial=agent("half")),
        ErrorItem(id="e2", code="timeout", message="no"),
        CancelledItem(id="e3", partial=call(arguments='{"a')),
        CancelledItem(id="e4", partial=thought("hm", "signature", "s")),
        CancelledItem(id="e5", partial=agent("")),
        ErrorItem(id="e6", code="x", message="x", partial=CancelledItem(id="e7", partial=agent("inner"))),
    )
    assert [item.content for item in items] == ["hello", "half", "inner"]


@pytest.mark.parametrize("malformed", [call(name=""), call(name=" "), call(name="look\n"), call("")])
def test_a_malformed_call_goes_with_its_output(malformed):
    """No provider takes one back; a well-formed one of the same id is another."""
    assert said(user(), malformed, output(malformed.call_id)) == [user()]
    good = call("c1")
    assert said(user(), malformed, good, output(malformed.call_id), output("c1", "blue"))[1] == good


def test_reasoning_with_nothing_after_it_goes():
    """A provider refuses reasoning that led to nothing; what led to a word or a deed stays."""
    kept = thought("a", "encrypted_content", "d")
    items = conversation([run(user(), kept, agent(), thought("b"))], run(user("next"), thought("c")))
    assert items == [user(), kept, agent(), user("next")]


def test_a_providers_own_items_stay_with_the_same_provider():
    """They carry no provider of their own, but their run does."""
    item = ProviderItem(id="ws_1", provider_type="web_search_call", data={"type": "web_search_call"})
    assert item in conversation([run(user(), item, agent())], run(user()))
    assert item not in conversation([run(user(), item, agent(), provider="elsewhere")], run(user()))


def test_files_that_another_provider_keeps_are_said_to_be_missing():
    """Their ids mean nothing elsewhere; what comes by its own address or data stays."""
    parts = [ImagePart(file_id="file_1"), ImagePart(url="https://host/a.png")]
    for item in (user("see", parts=parts), output(parts=parts)):
        elsewhere = [run(call(), item, agent(), provider="elsewhere")]
        kept = next(each for each in conversation(elsewhere, run(user())) if getattr(each, "parts", None))
        assert kept.parts[-2:] == [MISSING, parts[1]]
        same = next(each for each in conversation([run(call(), item)], run(user())) if getattr(each, "parts", None))
        assert same.parts == parts


def assert_paired(items):
    """Each call has one output, behind its turn, in the order of the calls."""
    calls = [item.call_id for item in items if isinstance(item, FunctionCallItem)]
    outputs = [item.call_id for item in items if isinstance(item, FunctionCallOutputItem)]
    assert calls == outputs
    assert len(set(calls)) == len(calls)
    waiting = []
    for item in items:
        if isinstance(item, FunctionCallItem):
            waiting.append(item.call_id)
        elif isinstance(item, FunctionCallOutputItem):
            assert item.call_id == waiting.pop(0)
        elif getattr(item, "origin", "agent") != "agent":
            assert not waiting
    assert not waiting


def outcome(build, items):
    """The request as JSON, or the field that it was refused for."""
    try:
        return codec.encode(build(ask(*items), {}))
    except InvalidRequest as error:
        return error.field


@st.composite
def legal_runs(draw):
    """Runs of a conversation: turns with calls whose outputs come in any order, in this run or with the next input,
    with words in between, and some said twice."""
    runs, items, number = [], [user("begin")], 0
    for _ in range(draw(st.integers(1, 4))):
        calls = [
            call(f"c{number + at}", name=draw(st.sampled_from(["look", "a.b", "x" * 150])), kind=draw(kinds),
                 namespace=draw(st.sampled_from([None, "files"])))
            for at in range(draw(st.integers(0, 3)))
        ]  # fmt: skip
        number += len(calls)
        turn = [thought("hm", "signature", "s", home=ELSEWHERE), agent("so"), *calls]
        items += draw(st.sampled_from([turn, [*turn[2:], *turn[:2]], turn[1:]]))
        cut = draw(st.sampled_from(["here", "again", "none"])) if calls else "none"
        if cut != "none":
            runs.append(items)
            items = list(calls) if cut == "again" else []
        items += draw(st.permutations([output(each.call_id) for each in calls]))
        items += draw(st.sampled_from([[], [user("and?")], [system("be brief"), user("so?")]]))
    return [*runs, items]


kinds = st.sampled_from([None, "custom"])
STRICT = {
    responses: scripted_responses.WIRE,
    messages: scripted_messages.WIRE,
    chat: scripted_chat.WIRE,
    converse: scripted_bedrock.WIRE,
    ollama: scripted_ollama.WIRE,
}


@given(runs=legal_runs())
def test_any_legal_conversation_is_taken_by_every_wire(runs):
    """Each call has its one output behind it, and the wire's own strictness finds nothing to complain of."""
    *earlier, current = [run(*items) for items in runs]
    items = conversation(earlier, current)
    assert_paired(items)
    wanted = {item.call_id for items in runs for item in items if isinstance(item, FunctionCallItem)}
    assert {item.call_id for item in items if isinstance(item, FunctionCallItem)} == wanted
    assert all(item.output == "done" for item in items if isinstance(item, FunctionCallOutputItem))
    for build, wire in STRICT.items():
        body = {"model": "m", **codec.decode_any(codec.encode(build(ask(*items), {})))}
        assert wire.complaint(body, Memory()) is None


@given(runs=st.lists(any_items, min_size=1, max_size=3))
def test_any_runs_make_a_conversation_with_paired_calls(runs):
    """Whatever the runs left: paired, nothing failed in it, the same when made again, and fit for every wire."""
    *earlier, current = [run(*items) for items in runs]
    items = conversation(earlier, current)
    assert_paired(items)
    assert not any(isinstance(item, ErrorItem | CancelledItem) for item in items)
    assert conversation([], run(*items)) == items
    for build in STRICT:
        assert outcome(build, items)
