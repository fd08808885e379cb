"""Going on from the response before: what is new is sent alone exactly where the rest is what the provider has."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from tailrace.adapters.base import DecodeContext
from tailrace.adapters.openai_responses import request as responses_request
from tailrace.adapters.openai_responses.chain import Output, baseline_of, create, delta, read_request
from tailrace.adapters.openai_responses.decode import ResponsesDecoder
from tailrace.adapters.replay import decode_events
from tailrace.fold.reducer import Reducer
from tailrace.runs.history import conversation
from tailrace.schema import codec
from tailrace.schema.items import FunctionCallItem
from tests.support.items import HERE, ask, output, run, user

texts = st.text(min_size=1, max_size=12).filter(str.strip)
words = st.text("abcxyz_", min_size=1, max_size=8)
parts = st.fixed_dictionaries({
    "type": st.just("output_text"), "text": texts, "annotations": st.just([]), "logprobs": st.just([])
})  # fmt: skip
wire_items = st.one_of(
    st.fixed_dictionaries({
        "type": st.just("message"), "role": st.just("assistant"), "content": st.lists(parts, min_size=1, max_size=1),
    }, optional={"phase": st.sampled_from(["commentary", "final_answer"])}),
    st.fixed_dictionaries({
        "type": st.just("reasoning"), "encrypted_content": texts,
        "summary": st.lists(st.fixed_dictionaries({"type": st.just("summary_text"), "text": texts}), max_size=2),
    }),
    st.fixed_dictionaries(
        {"type": st.just("function_call"), "name": words, "arguments": st.sampled_from(["{}", '{"a": 1}', "[1, 2]"])}
    ),
    st.fixed_dictionaries({"type": st.just("custom_tool_call"), "name": words, "input": texts}),
)  # fmt: skip
answers = st.lists(wire_items, min_size=1, max_size=5)


def numbered(items, prefix):
    """The items with ids of their own, as a provider gives them; nothing thought after the last word."""
    said = [
        {**item, "id": f"{prefix}{place}", "status": "completed", "call_id": f"call_{prefix}{place}"}
        if "call" in item["type"]
        else {**item, "id": f"{prefix}{place}", "status": "completed"}
        for place, item in enumerate(items)
    ]
    while said and said[-1]["type"] == "reasoning":
        said.pop()
    return said or numbered([{"type": "function_call", "name": "f", "arguments": "{}"}], prefix)


def heard(items):
    """A provider's items, as a run has them."""
    body = codec.encode({"id": "resp_1", "status": "completed", "output": items})
    state = Reducer()
    for seq, payload in enumerate(decode_events(ResponsesDecoder, body, whole=True, context=DecodeContext(*HERE)), 1):
        state.apply(seq, 0, payload)
    return state.items()


def digests(items):
    """Of an answer's items, as its frames bring them."""
    output = Output()
    for item in items:
        output.add(None, item)
    return output.digests({})


def body_of(*items, **generation):
    request = ask(*items, **generation)
    return read_request(codec.encode(responses_request.build(request, {})))


def answered(items):
    return [output(item.call_id) for item in items if isinstance(item, FunctionCallItem)]


def shown(raws):
    return [codec.decode_any(bytes(raw)) for raw in raws]


@settings(deadline=None)
@given(answers, answers, texts)
def test_a_conversation_that_goes_on_sends_what_is_new(first, second, question):
    """Whatever a provider says, said again through the log and the history, is known as what it was: twice over."""
    one, two = numbered(first, "a"), numbered(second, "b")
    items = [user(question)]
    asked = body_of(*items)
    for answer in (one, two):
        baseline = baseline_of(asked, "resp_1", digests(answer))
        outcome = heard(answer)
        items = conversation([run(*items, *outcome, *answered(outcome))], run(user("and then?")))
        asked = body_of(*items)
        new = delta(baseline, asked)
        assert new is not None
        assert len(new) == len(answered(outcome)) + 1
        assert new == asked.items[-len(new) :]


@settings(deadline=None)
@given(answers, st.data())
def test_any_change_of_what_was_said_before_sends_everything(first, data):
    """An item edited, dropped, doubled or moved, and any option that differs."""
    answer = numbered(first, "a")
    asked = body_of(user("question"), user("and another"))
    baseline = baseline_of(asked, "resp_1", digests(answer))
    outcome = heard(answer)
    items = conversation([run(user("question"), user("and another"), *outcome, *answered(outcome))], run(user("next")))
    honest = body_of(*items)
    new = delta(baseline, honest)
    assert new is not None
    known = len(honest.items) - len(new)
    place = data.draw(st.integers(0, known - 1))
    changed = list(honest.items)
    how = data.draw(st.sampled_from(["edit", "drop", "double", "swap"]))
    if how == "edit":
        changed[place] = Raw(
            codec.encode({**codec.decode_any(bytes(changed[place])), "encrypted_content": "?", "x": 1})
        )
    elif how == "drop":
        del changed[place]
    elif how == "double":
        changed.insert(place, changed[place])
    else:
        changed[place], changed[place + 1] = changed[place + 1], changed[place]
    said = [codec.decode_any(bytes(raw)) for raw in changed]
    if [_bare(item) for item in said[:known]] != [_bare(item) for item in shown(honest.items)[:known]]:
        body = {**shown_options(honest), "input": said}
        assert delta(baseline, read_request(codec.encode(body))) is None
    same = {**shown_options(honest), "input": shown(honest.items)}
    assert delta(baseline, read_request(codec.encode(same))) == new
    for option in ({"temperature": 0.5}, {"instructions": "Be brief."}, {"parallel_tool_calls": False}):
        assert delta(baseline, read_request(codec.encode({**same, **option}))) is None


def _bare(item):
    """An item as far as a provider's own ids do not matter: reasoning is what it encrypts."""
    if item["type"] == "reasoning":
        return {"type": "reasoning", "encrypted_content": item["encrypted_content"]}
    known = {"message": ("type", "role", "content", "phase")}
    names = known.get(item["type"], ("type", "call_id", "name", "arguments", "input", "output"))
    return {name: item[name] for name in names if name in item}


def shown_options(request):
    return {name: codec.decode_any(bytes(value)) for name, value in request.options.items()}


def test_client_metadata_may_differ_and_a_named_response_may_not():
    """Nothing else may; and a request that is not longer goes on from nothing."""
    asked = read_request(codec.encode({"model": "m", "input": [{"type": "message", "role": "user", "content": []}]}))
    baseline = baseline_of(asked, "resp_1", ())
    longer = {"model": "m", "input": [*shown(asked.items), {"type": "message", "role": "user", "content": []}]}
    assert delta(baseline, read_request(codec.encode({**longer, "client_metadata": {"turn": "2"}}))) is not None
    assert delta(baseline, read_request(codec.encode({**longer, "previous_response_id": "resp_0"}))) is None
    assert delta(baseline, asked) is None


def test_a_frame_is_the_body_with_its_type():
    """And, going on, the id and what is new."""
    body = {"model": "m", "stream": True, "input": [{"a": 1}, {"b": 2}], "store": False}
    request = read_request(codec.encode(body))
    assert codec.decode_any(create(request)) == {"type": "response.create", **body}
    going_on = codec.decode_any(create(request, "resp_1", request.items[1:]))
    assert going_on == {"type": "response.create", **body, "previous_response_id": "resp_1", "input": [{"b": 2}]}


def test_the_output_is_what_the_items_say():
    """In the order of their places; where the final response says otherwise there is nothing to go on from."""
    items = [{"type": "function_call", "call_id": f"c{n}", "name": "f", "arguments": "{}"} for n in range(2)]
    collected = Output()
    collected.add(1, items[1])
    collected.add(0, items[0])
    whole = digests(items)
    assert collected.digests({"output": []}) == whole
    assert collected.digests({"output": [{**item, "id": "other", "status": "completed"} for item in items]}) == whole
    assert collected.digests({"output": items[:1]}) is None
    assert Output().digests({"output": items}) == whole


def test_a_turn_goes_on_while_tools_answer():
    """Until the user speaks."""
    question = {"type": "message", "role": "user", "content": []}
    answer = {"type": "message", "role": "assistant", "content": []}
    called = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c", "output": "x"}
    turns = {
        True: [[question, called, result], [question, called, called, result, result]],
        False: [
            [], [question], [question, answer, question], [result], [question, result],
            [question, called, result, question],
        ],
    }  # fmt: skip
    for goes_on, inputs in turns.items():
        for items in inputs:
            assert read_request(codec.encode({"model": "m", "input": items})).continues_turn is goes_on
