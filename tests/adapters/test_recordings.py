"""Recorded traffic of real providers: the same however it is split, legal, and what the vendors' own SDKs make of it.

The recordings lie beside the repository (tests/support/shared_data.py); where they are absent, these tests are skipped.
"""

import importlib.util
import random
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tailrace.adapters.framing import SSE
from tailrace.adapters.replay import decode_events
from tailrace.adapters.wires import WIRES
from tailrace.schema import codec
from tailrace.schema.errors import ProviderError
from tailrace.schema.events import Payload
from tailrace.schema.items import CancelledItem, MessageItem, ReasoningItem
from tests.support.decoding import CONTEXT, Heard, checked
from tests.support.shared_data import ABSENT, shared_dir

SHARED = shared_dir()

# Where the SDK's result is not what an answer should become, and why.
OTHERWISE = {
    "derived.truncated-mid-character": "the SDK drops the item under way; here it stays, cancelled, with what came",
    "derived.truncated-mid-event": "the SDK shows the cut call as a call; here it is cancelled and can never be run",
    "derived.overloaded-midstream": "the SDK shows the cut call as a call; here it is cancelled and can never be run",
    "google.stream-tool-call-array-arguments-missing-terminal-function-call.25c627": "the SDK leaves the pieces of the"
    " call's arguments as they came; here they are put together",
    "anthropic.spliced-message-start.2ac79b": "the SDK mixes the deltas of two streams into one call's arguments",
    "derived.exception-midstream": "the tool counts no text of an item under way; here it stays, cancelled",
    "derived.truncated-mid-frame": "the same",
    "derived.error-line-midstream": "the same, of reasoning",
    "derived.truncated-mid-line": "the same, of reasoning",
    "bedrock.converse-with-content.474d11": "the text is expected in blocks, where the tool does not look",
    "bedrock.titan-converse-guardrail.c1cd4a": "the same",
    "bedrock.web-search-with-bedrock-amazon-nova-2-lite-v1-0-grounds-the-answer-wit.02e35e": "the same",
}


class Recording(NamedTuple):
    """A recorded answer and its facts."""

    wire: str
    scenario: str
    body: Path
    status: int

    @property
    def is_whole(self) -> bool:
        return self.body.name.endswith(".response.json")


def recordings() -> list[Any]:
    if SHARED is None:
        return [pytest.param(None, marks=pytest.mark.skip(reason=ABSENT))]
    root = SHARED / "recordings"
    facts = codec.decode_any((root / "index.json").read_bytes())
    found = [
        Recording(one["wire"], one["scenario"], root / one["body_file"], one["status"])
        for one in facts
        if one["wire"] in WIRES
    ]
    return [pytest.param(one, id=f"{one.wire}/{one.scenario}") for one in found]


EACH = pytest.mark.parametrize("recording", recordings())
STREAMS = [one for one in recordings() if one.values[0] is None or not one.values[0].is_whole]
EACH_STREAM = pytest.mark.parametrize("recording", STREAMS)
EACH_SSE = pytest.mark.parametrize(
    "recording", [one for one in STREAMS if one.values[0] is None or WIRES[one.values[0].wire].decoder.FRAMING is SSE]
)
# Of those above: what the tool does not count is there all the same.
UNCOUNTED = {"bedrock-converse", "ollama"}
EACH_UNCOUNTED = pytest.mark.parametrize(
    "recording",
    [
        one
        for one in recordings()
        if one.values[0] is None or (one.values[0].wire in UNCOUNTED and one.values[0].scenario in OTHERWISE)
    ],
)


def fed(wire: str, data: bytes, sizes: list[int]) -> tuple[list[Payload], str]:
    """What the decoder says of `data`, cut into pieces of these sizes and a last one; and its error."""
    decoder = WIRES[wire].decoder(CONTEXT)
    edges = [*accumulate(sizes, initial=0), len(data)]
    payloads = [payload for start, end in pairwise(edges) for payload in decoder.feed(data[start:end])]
    payloads += decoder.close()
    return payloads, str(decoder.error)


def hear(recording: Recording) -> Heard:
    data = recording.body.read_bytes()
    return checked(decode_events(WIRES[recording.wire].decoder, data, whole=recording.is_whole, context=CONTEXT))


@pytest.mark.slow
@EACH_STREAM
def test_c6_every_recording_is_the_same_however_it_is_split(recording):
    """Whole, at random places, and byte by byte."""
    data = recording.body.read_bytes()
    whole = fed(recording.wire, data, [])
    for seed in range(3):
        dice = random.Random(f"{recording.scenario} {seed}")
        sizes = [dice.randint(1, 4 ** (seed + 2)) for _ in range(len(data) // 4 ** (seed + 2))]
        assert fed(recording.wire, data, sizes) == whole
    assert fed(recording.wire, data, [1] * (len(data) - 1)) == whole


@pytest.mark.slow
@EACH_SSE
def test_c7_every_recording_is_the_same_with_other_line_ends(recording):
    """CRLF and CR, however the bytes are split."""
    data = recording.body.read_bytes().replace(b"\r\n", b"\n")
    whole = fed(recording.wire, data, [])
    assert fed(recording.wire, data.replace(b"\n", b"\r\n"), [997] * (len(data) // 997)) == whole
    assert fed(recording.wire, data.replace(b"\n", b"\r"), [997] * (len(data) // 997)) == whole


@EACH
def test_every_recording_is_what_the_vendor_s_sdk_makes_of_it(recording):
    """Text, reasoning, calls, the order of item types, counts and the outcome; each event legal where it stands."""
    if recording.status >= 400:
        with pytest.raises(ProviderError):
            hear(recording)
        return
    heard = hear(recording)
    if recording.scenario in OTHERWISE:
        assert heard.calls == [] or recording.scenario.startswith(("anthropic.", "google."))
        return
    compare = comparison()
    expected = SHARED / "recordings" / "expected" / recording.wire / f"{recording.scenario}.json"
    want = compare.EXPECTED[recording.wire](codec.decode_any(expected.read_bytes()))
    got = compare.facts_of(codec.to_builtins(heard.response))
    assert list(compare.differences(want, got)) == []


@EACH_UNCOUNTED
def test_what_the_comparison_does_not_count_is_there_all_the_same(recording):
    """The text and the reasoning of an item that was cut, and those that are expected block by block."""
    items = [item.partial if isinstance(item, CancelledItem) else item for item in hear(recording).items]
    expected = SHARED / "recordings" / "expected" / recording.wire / f"{recording.scenario}.json"
    want = codec.decode_any(expected.read_bytes())
    blocks = "".join(block.get("text", "") for block in want.get("blocks", ()))
    assert text_of(items, MessageItem) == (want.get("text") or blocks)
    assert text_of(items, ReasoningItem) == want.get("thinking", "")


def text_of(items: list[Any], kind: type) -> str:
    return "".join(item.content for item in items if isinstance(item, kind))


def comparison() -> Any:
    """The recordings' own tool, which knows how each SDK says things."""
    spec = importlib.util.spec_from_file_location("check_decode", SHARED / "tools" / "check_decode.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
