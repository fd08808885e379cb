"""`reasoning_details`: how a provider's sealed reasoning (signature, encrypted text) travels through a chat client.

The protocol has no word for it, yet some providers want it back before the calls that it led to (design rule 3). Many
hosts send it as a list of this name on the message, and clients that return a message as they got it return it, too.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Any

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson
from tailrace.schema.items import Opaque, ReasoningItem

FORMAT = "tailrace-v1"


def detail_of(item: ReasoningItem, index: int) -> dict[str, Any] | None:
    """The entry for this item, the `index`-th of its message; None where nothing is sealed."""
    if item.opaque is None:
        return None
    data = b64encode(codec.encode(item.opaque)).decode()
    return {"type": "reasoning.encrypted", "id": item.id, "format": FORMAT, "index": index, "data": data}


def reasoning_of(details: Iterable[Any]) -> list[Opaque]:
    """What came back, in order; entries that are not from here are another server's, and stay unread."""
    return [opaque for detail in details if (opaque := _opaque(detail)) is not None]


def _opaque(detail: Any) -> Opaque | None:
    if not isinstance(detail, dict) or detail.get("format") != FORMAT:
        return None
    try:
        return codec.decode(b64decode(str(detail.get("data")), validate=True), Opaque)
    except (ValueError, InvalidJson):
        return None
