"""Recorded answers as runs: decoded to events, encoded in any dialect."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tailrace.adapters.replay import decode_events
from tailrace.adapters.wires import WIRES
from tailrace.dialects.base import View
from tailrace.dialects.table import DIALECTS
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.events import ItemDone, Payload, ProviderEvent, TraceContext
from tailrace.schema.items import FunctionCallItem
from tests.support.shared_data import ABSENT, shared_dir

TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
PROTOCOLS = {"openai-responses": "responses", "openai-chat-completions": "chat", "anthropic-messages": "messages"}


class Recording(NamedTuple):
    """A recorded answer."""

    wire: str
    scenario: str
    body: Path

    @property
    def is_stream(self) -> bool:
        return not self.body.name.endswith(".response.json")

    def events(self) -> list[Payload]:
        """The events of the run that it is the one answer of."""
        return decode_events(WIRES[self.wire].decoder, self.body.read_bytes(), whole=not self.is_stream)


def recordings() -> list[Any]:
    """The answers, HTTP errors aside; one that is skipped where the recordings are absent."""
    shared = shared_dir()
    if shared is None:
        return [pytest.param(None, marks=pytest.mark.skip(reason=ABSENT))]
    root = shared / "recordings"
    facts = codec.decode_any((root / "index.json").read_bytes())
    found = [
        Recording(one["wire"], one["scenario"], root / one["body_file"])
        for one in facts
        if one["wire"] in WIRES and one["status"] < 400
    ]
    return [pytest.param(one, id=f"{one.wire}/{one.scenario}") for one in found]


def asked(payloads: list[Payload], dialect: str) -> list[Payload]:
    """The run as a client of this dialect asks for it: which of its tools take free text stands at the beginning."""
    items = [payload.final_item for payload in payloads if isinstance(payload, ItemDone)]
    custom = sorted({item.name for item in items if isinstance(item, FunctionCallItem) and item.kind == "custom"})
    said: dict[str, Any] = {"model": "provider/model"}
    if dialect == "responses":
        said |= {
            "tools": [{"type": "custom", "name": name} for name in custom],
            "include": ["reasoning.encrypted_content"],
        }
    elif dialect == "chat":
        said |= {"custom": custom}
    opening = ProviderEvent(provider_id="tailrace", name="asked", data={"protocol": dialect, "asked": said})
    return [payloads[0], opening, *payloads[1:]]


def encoded(payloads: list[Payload], dialect: str, *, size: int = 7) -> bytes:
    """The run's bytes as the dialect's vendor sends them; the log in batches of `size`."""
    encoder = DIALECTS[dialect].encoder(View())
    batches = [
        Batch("run", start + 1, 5, TRACE, payloads=payloads[start : start + size])
        for start in range(0, len(payloads), size)
    ]
    frames = [frame.bare() for batch in batches for frame in encoder.encode(batch)]
    return b"".join([*frames, DIALECTS[dialect].closing])
