"""The legal order of events (contract §3), as one table. Adapters, appends, lint and tests all pass through it.

Rule 1 of this file: everything that decides what may follow what stands in RULES; the code below only looks it up. The
documentation's table is made from RULES too.
"""

from typing import Literal, NamedTuple

from tailrace.schema.events import (
    ItemDelta,
    ItemDone,
    ItemStart,
    Payload,
    StepDone,
    StepStart,
    type_of,
)

RunState = Literal["new", "open", "ended"]
ItemState = Literal["new", "open", "ended"]


class Rule(NamedTuple):
    """When an event is legal, and what it changes.

    `run`: the state the run must be in; `run_to`: the state it is in afterwards. `item`: the states that the item it
    names must be in (None: it names none); `item_to` likewise. `step`: must a step be open (None: no matter).
    """

    run: RunState = "open"
    run_to: RunState = "open"
    item: tuple[ItemState, ...] | None = None
    item_to: ItemState | None = None
    step: bool | None = None
    settled: bool = False  # no item may be open


RULES: dict[str, Rule] = {
    "response_start": Rule(run="new"),
    "step_start": Rule(step=False),
    "step_done": Rule(step=True),
    "item_start": Rule(item=("new",), item_to="open"),
    "item_delta": Rule(item=("open",), item_to="open"),
    "item_done": Rule(item=("open",), item_to="ended"),
    "item_error": Rule(item=("open",), item_to="ended"),
    "item_cancelled": Rule(item=("open",), item_to="ended"),
    "script_execution_start": Rule(item=("open", "ended")),
    "script_execution_done": Rule(item=("open", "ended")),
    "script_execution_error": Rule(item=("open", "ended")),
    "approval_requested": Rule(item=("open", "ended")),
    "approval_resolved": Rule(),
    "usage_update": Rule(),
    "provider_event": Rule(),
    "response_done": Rule(run_to="ended", step=False, settled=True),
    "response_error": Rule(run_to="ended", step=False, settled=True),
    "turn_aborted_by_user": Rule(run_to="ended", step=False, settled=True),
}


class Grammar:
    """How far a run has come, in as much detail as RULES asks for. `accept` and `check` are O(1)."""

    def __init__(self) -> None:
        self.run: RunState = "new"
        self.step: StepStart | None = None
        self.open_items: dict[str, str] = {}  # id -> item_type, in the order they began
        self.ended_items: set[str] = set()

    def check(self, payload: Payload) -> str | None:
        """What forbids `payload` here, in one sentence; None where nothing does."""
        name = type_of(payload)
        return self._violation(payload, name, RULES.get(name))

    def _violation(self, payload: Payload, name: str, rule: Rule | None) -> str | None:
        if rule is None:
            return f"{name} is never stored"
        if self.run != rule.run:
            return f"{name} in a run that is {self.run}, not {rule.run}"
        if rule.item is not None:
            return self._check_item(name, payload, rule.item)
        if rule.step is not None and (self.step is not None) != rule.step:
            return f"{name} while {'no' if rule.step else 'a'} step is open"
        if rule.settled and self.open_items:
            return f"{name} while items are open: {', '.join(self.open_items)}"
        if isinstance(payload, StepDone) and self.step and payload.step != self.step.step:
            return f"step_done of step {payload.step} in step {self.step.step}"
        return None

    def _check_item(self, name: str, payload: Payload, wanted: tuple[ItemState, ...]) -> str | None:
        item_id: str = payload.item_id  # type: ignore[union-attr]  # RULES gives `item` only to events that name one
        state = self.item_state(item_id)
        if state not in wanted:
            return f"{name} of item {item_id!r}, which is {state}, not {' or '.join(wanted)}"
        if isinstance(payload, ItemDone):
            begun, final = self.open_items[item_id], payload.final_item
            if final.id != item_id:
                return f"item_done of item {item_id!r} with a final item {final.id!r}"
            tag = final.__struct_config__.tag
            if tag != begun:
                return f"item_done of item {item_id!r}, begun as {begun}, with a final {tag}"
        return None

    @property
    def item_count(self) -> int:
        """How many items have begun."""
        return len(self.open_items) + len(self.ended_items)

    def item_state(self, item_id: str) -> ItemState:
        """Where the item stands."""
        if item_id in self.open_items:
            return "open"
        return "ended" if item_id in self.ended_items else "new"

    def _advance(self, payload: Payload, rule: Rule) -> None:
        self.run = rule.run_to
        if rule.item_to is not None:
            self._advance_item(payload, rule.item_to)
        elif isinstance(payload, StepStart):
            self.step = payload
        elif isinstance(payload, StepDone):
            self.step = None

    def _advance_item(self, payload: Payload, to: ItemState) -> None:
        if isinstance(payload, ItemStart):
            self.open_items[payload.item_id] = payload.item_type
        elif to == "ended":
            item_id: str = payload.item_id  # type: ignore[union-attr]  # as in _check_item
            del self.open_items[item_id]
            self.ended_items.add(item_id)

    def accept(self, payload: Payload) -> str | None:
        """`check`, and what the payload changes, where nothing forbids it."""
        # Nearly each event is one of these: items are open in a live run alone, and a delta changes nothing here.
        if type(payload) is ItemDelta and payload.item_id in self.open_items:
            return None
        name = type_of(payload)
        rule = RULES.get(name)
        violation = self._violation(payload, name, rule)
        if violation is None and rule is not None:
            self._advance(payload, rule)
        return violation
