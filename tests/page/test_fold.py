"""The page's fold is the server's: the same Response from the same events, for recordings and for generated logs."""

import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailrace.cli.files import NO_TRACE
from tailrace.fold.reducer import Reducer
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.events import Event, ItemDelta, ItemStart, Payload
from tailrace.schema.response import Response
from tests.support.events import START, runs
from tests.support.replaying import Recording, recordings
from tests.support.shared_data import ABSENT

pytestmark = [
    pytest.mark.slow,  # a Node process each
    pytest.mark.skipif(shutil.which("node") is None, reason="no node: the page's fold needs one to run outside of it"),
]
SCRIPT = Path(__file__).with_name("fold.mjs")


def events_of(payloads: Sequence[Payload], timestamp: int = 7) -> list[Event]:
    """The payloads as a reader sees them."""
    return list(Batch("run", 1, timestamp, NO_TRACE, payloads=list(payloads)).events())


def by_page(logs: Iterable[dict[str, Any]]) -> list[Any]:
    """What the page's fold makes of each log, {events, snapshot?}."""
    lines = b"".join(codec.encode(log) + b"\n" for log in logs)
    done = subprocess.run(["node", str(SCRIPT)], input=lines, capture_output=True, check=True)
    return [codec.decode_any(line) for line in done.stdout.splitlines()]


def by_server(events: Sequence[Event], snapshot: Response | None = None) -> Any:
    """What the server's fold makes of it, as JSON."""
    reducer = Reducer(snapshot)
    for event in events:
        reducer.apply(event.seq, event.timestamp, event.payload)
    response = reducer.response() if reducer.start else None
    return codec.decode_any(codec.encode({"response": response, "ignored": reducer.ignored}))


def decoded(found: Sequence[Recording]) -> list[list[Event]]:
    """The recordings' events, as the command line gives them: a log each."""
    files = defaultdict(list)
    for one in found:
        files[one.wire].append(str(one.body))
    logs: list[list[Event]] = []
    for wire, bodies in files.items():
        command = [sys.executable, "-m", "tailrace", "decode", "--wire", wire, "--events", *bodies]
        lines = subprocess.run(command, capture_output=True, check=True).stdout.splitlines()
        for event in (codec.decode_event(line) for line in lines if not line.startswith(b'{"error"')):
            if event.seq == 1:
                logs.append([])
            logs[-1].append(event)
    return logs


RECORDED = [param.values[0] for param in recordings()]


@pytest.mark.skipif(RECORDED == [None], reason=ABSENT)
def test_both_folds_agree_on_every_recording():
    """Whole, and folded on from a snapshot of its first half."""
    logs = decoded(RECORDED)
    assert len(logs) > 100
    asked, expected = [], []
    for events in logs:
        half = len(events) // 2 + 1
        snapshot = Reducer()
        for event in events[:half]:
            snapshot.apply(event.seq, event.timestamp, event.payload)
        asked += [{"events": events}, {"events": events, "snapshot": snapshot.response()}]
        expected += [by_server(events), by_server(events, snapshot.response())]
    made = by_page(asked)
    assert len(made) == len(expected)
    for one, other, log in zip(made, expected, asked, strict=True):
        assert one == other, log["events"][0]


@given(st.lists(runs(), min_size=40, max_size=40), st.randoms(use_true_random=False))
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_both_folds_agree_on_generated_logs(made: list[list[Payload]], random: Any):
    """Legal ones; and with events lost, doubled and out of place, where both pass over the same ones."""
    logs = [events_of(payloads) for payloads in made]
    for log in [list(log) for log in logs]:
        broken = [event for event in log if random.random() > 0.2] + random.sample(log, len(log) // 2)
        if random.random() < 0.3:
            random.shuffle(broken)
        logs.append(broken)
    assert by_page({"events": log} for log in logs) == [by_server(log) for log in logs]


def test_the_shape_is_kept_for_what_this_version_has_no_word_for():
    """An item of an unknown type keeps its place and what was said of it."""
    start, item, delta, done = events_of(
        [START, ItemStart(item_id="i", item_type="reasoning"), ItemDelta(item_id="i", delta_content="x"),
         ItemStart(item_id="j", item_type="message")]
    )  # fmt: skip
    log = [codec.to_builtins(event) for event in (start, item, delta, done)]
    log[1]["payload"] |= {"item_type": "hologram", "depth": 3}
    (made,) = by_page([{"events": log}])
    assert made["response"]["output_items"][0] == {"type": "hologram", "id": "i", "depth": 3, "content": "x"}
    assert made["ignored"] == 0
