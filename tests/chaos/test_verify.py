"""What the chaos suite must find, it finds."""

from collections import Counter
from itertools import count

import pytest

from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.events import Event, ItemDone, Payload, TraceContext
from tailrace.schema.items import FunctionCallItem, FunctionCallOutputItem
from tests.chaos.verify import Findings, of_effects


def log(*payloads: Payload) -> list[Event]:
    return list(Batch("r", 1, 1, TraceContext("00-1-1-00"), payloads=payloads).events())


def called(*, success: bool | None) -> list[Event]:
    """A call of `note` whose effect is `e`, and its output, if there is one."""
    ids = (f"item{number}" for number in count())
    arguments = codec.encode({"text": "e"}).decode()
    call = FunctionCallItem(id=next(ids), name="note", call_id="c", arguments=arguments)
    payloads: list[Payload] = [ItemDone(item_id=call.id, final_item=call)]
    if success is not None:
        output = FunctionCallOutputItem(id=next(ids), call_id="c", output="", success=success)
        payloads.append(ItemDone(item_id=output.id, final_item=output))
    return log(*payloads)


@pytest.mark.parametrize(
    ("success", "effects", "is_well"),
    [
        (True, ["e"], True),
        (True, [], False),
        (True, ["e", "e"], False),
        (False, ["e"], True),
        (False, [], True),
        (False, ["e", "e"], False),
        (None, ["e"], True),
        (None, ["e", "e"], False),
    ],
)
def test_effects_that_happened_twice_or_never_are_found(success: bool | None, effects: list[str], is_well: bool):
    """Whether its output tells of them or not."""
    findings = Findings()
    assert (not of_effects(called(success=success), Counter(effects), findings)) == is_well
    assert findings.effects == {"e"}
