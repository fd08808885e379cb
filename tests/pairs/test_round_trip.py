"""What we say in a protocol, we hear in it: our decoder reads from our encoder's bytes what the run was made of."""

from typing import Any

import pytest

from tailrace.adapters.replay import decode_events
from tailrace.adapters.wires import WIRES
from tailrace.fold.reducer import fold
from tailrace.schema.batch import Batch
from tailrace.schema.events import ItemDone, Payload
from tailrace.schema.items import FunctionCallItem, MessageItem, ReasoningItem, RefusalPart
from tests.support.replaying import PROTOCOLS, TRACE, Recording, asked, encoded, recordings

# Finish reasons for which a protocol has another word, or none.
WORDS = {
    ("responses", "pause"): "stop",
    ("responses", "refusal"): "stop",
    ("chat", "pause"): "stop",
    ("chat", "refusal"): "content_filter",
    ("messages", "content_filter"): "refusal",
}
# Where what is heard is not what was said, and why.
OTHERWISE = {
    ("chat", "anthropic.spliced-message-start.2ac79b"): "the stream ends with an error where a call broke off",
    ("messages", "anthropic.spliced-message-start.2ac79b"): "the message ends with an error where a call broke off",
    ("messages", "openai.custom-tool.2.028499"): "free text goes in an `input` of its own",
}


def facts(payloads: list[Payload]) -> dict[str, Any]:
    """Text, reasoning, calls and the end of a run; how text is parted by white space does not matter."""
    response = fold([Batch("run", 1, 5, TRACE, payloads=payloads)])
    items = response.output_items
    return {
        "text": "".join("".join(item.content.split()) for item in items if isinstance(item, MessageItem)),
        "reasoning": "".join("".join(item.content.split()) for item in items if isinstance(item, ReasoningItem)),
        "calls": [(i.name, i.arguments, i.call_id, i.kind) for i in items if isinstance(i, FunctionCallItem)],
        "status": response.status,
        "finish_reason": response.finish_reason,
        "usage": (response.usage.prompt_tokens, response.usage.completion_tokens) if response.usage else (0, 0),
    }


def refuses(payloads: list[Payload]) -> bool:
    """Does the model refuse in words? Only as a stop_reason can a Messages stream say so."""
    items = [payload.final_item for payload in payloads if isinstance(payload, ItemDone)]
    parts = [part for item in items if isinstance(item, MessageItem) for part in item.parts or ()]
    return any(isinstance(part, RefusalPart) for part in parts)


@pytest.mark.parametrize("recording", recordings())
@pytest.mark.parametrize("wire", PROTOCOLS)
def test_we_hear_what_we_say(recording: Recording, wire: str):
    """Any wire in, each dialect out, and in again; a run that failed fails again."""
    dialect = PROTOCOLS[wire]
    payloads = recording.events()
    heard = facts(decode_events(WIRES[wire].decoder, encoded(asked(payloads, dialect), dialect)))
    said = facts(payloads)
    if said["status"] != "complete":
        assert heard["status"] == said["status"]
    elif (dialect, recording.scenario) not in OTHERWISE:
        reason = "refusal" if dialect == "messages" and refuses(payloads) else said["finish_reason"]
        assert heard == {**said, "finish_reason": WORDS.get((dialect, reason), reason)}
