"""The grammar: one table says what may follow what."""

from typing import get_args

import pytest
from hypothesis import given

from tailrace.fold.grammar import RULES, Grammar
from tailrace.schema.events import (
    PAYLOAD_TYPES,
    TERMINAL,
    ItemDelta,
    ItemDone,
    ItemStart,
    Payload,
    ResponseDone,
    ResponseStart,
    StepDone,
    StepStart,
    type_of,
)
from tailrace.schema.items import MessageItem, ReasoningItem
from tests.support.events import START, runs

STEP = StepStart(step=1, provider_id="p", model_id="m")
STEP_DONE = StepDone(step=1, provider_id="p", model_id="m", finish_reason="stop")
ITEM = ItemStart(item_id="a", item_type="message")
DELTA = ItemDelta(item_id="a", delta_content="x")
DONE = ItemDone(item_id="a", final_item=MessageItem(id="a", content="x"))
END = ResponseDone(response_id="r", status="complete", finish_reason="stop")


def test_every_payload_has_a_rule_except_the_heartbeat():
    """The table is complete: each type that may be stored stands in it, and nothing else."""
    assert set(RULES) == PAYLOAD_TYPES - {"heartbeat"}
    assert {type_of_class(kind) for kind in TERMINAL} == {
        name for name, rule in RULES.items() if rule.run_to == "ended"
    }


def type_of_class(kind: type) -> str:
    assert kind in get_args(Payload)
    return str(kind.__struct_config__.tag)


@pytest.mark.parametrize(
    ("before", "payload", "words"),
    [
        ([], STEP, "new, not open"),
        ([START], START, "open, not new"),
        ([START], DELTA, "which is new"),
        ([START, ITEM], ITEM, "which is open"),
        ([START, ITEM, DONE], DELTA, "which is ended"),
        ([START, ITEM, DONE], ITEM, "which is ended"),
        ([START, ITEM], END, "items are open: a"),
        ([START, STEP], STEP, "a step is open"),
        ([START], STEP_DONE, "no step is open"),
        ([START, StepStart(step=2, provider_id="p", model_id="m")], STEP_DONE, "step_done of step 1 in step 2"),
        ([START, STEP], END, "a step is open"),
        ([START, END], DELTA, "ended, not open"),
        ([START, END], END, "ended, not open"),
        ([START, ITEM], ItemDone(item_id="a", final_item=MessageItem(id="b", content="")), "final item 'b'"),
        ([START, ITEM], ItemDone(item_id="a", final_item=ReasoningItem(id="a", content="")), "begun as message"),
    ],
)
def test_what_is_forbidden_is_named(before: list[Payload], payload: Payload, words: str):
    """Each violation says in words what was wrong, and changes nothing."""
    grammar = Grammar()
    for earlier in before:
        assert grammar.accept(earlier) is None
    state = (grammar.run, grammar.step, dict(grammar.open_items), set(grammar.ended_items))
    violation = grammar.accept(payload)
    assert violation is not None
    assert words in violation
    assert type_of(payload) in violation
    assert (grammar.run, grammar.step, grammar.open_items, grammar.ended_items) == state


@given(runs())
def test_legal_runs_pass(payloads: list[Payload]):
    """What the generator of legal runs makes, the table lets through."""
    grammar = Grammar()
    assert [grammar.accept(payload) for payload in payloads] == [None] * len(payloads)


def test_interleaved_items_are_legal():
    """Items may grow side by side."""
    grammar = Grammar()
    other = ItemStart(item_id="b", item_type="reasoning")
    done = ItemDone(item_id="b", final_item=ReasoningItem(id="b", content="y"))
    for payload in [
        ResponseStart(**{f: getattr(START, f) for f in START.__struct_fields__}),
        ITEM,
        other,
        DELTA,
        done,
        DONE,
    ]:
        assert grammar.accept(payload) is None
    assert list(grammar.open_items) == []
