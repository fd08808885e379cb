"""What a client keeps for us unread: reasoning to be continued, and compacted conversations, as `encrypted_content`.

Opaque to clients, not secret from them: a seal is base64 of JSON behind a prefix that says whose it is. A provider's
own continuation data travels inside it with the provider and model that it is bound to (contract §1), so that it comes
back usable, and never to another provider. Content that is not sealed by us is a provider's own, as it came.
"""

import base64
import binascii
import zlib

from msgspec import Struct

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson
from tailrace.schema.items import Opaque, OutputItem

_REASONING = "tr1."
_COMPACTED = "trc1."
_MOST_BYTES = 32 * 1024 * 1024  # what a sealed conversation may unpack to


class _Reasoning(Struct, frozen=True, kw_only=True):
    """`id` is the provider's own for the item."""

    id: str
    opaque: Opaque


def seal(opaque: Opaque, item_id: str) -> str:
    """Continuation data as a client is to keep it."""
    return _REASONING + _text(codec.encode(_Reasoning(id=item_id, opaque=opaque)))


def unseal(text: str) -> tuple[str, Opaque] | None:
    """The provider's id of the item and its data; None where it is not ours."""
    data = _bytes(text, _REASONING)
    if data is None:
        return None
    try:
        kept = codec.decode(data, _Reasoning)
    except InvalidJson:
        return None
    return kept.id, kept.opaque


def seal_items(items: list[OutputItem]) -> str:
    """A conversation as a client is to keep it."""
    return _COMPACTED + _text(zlib.compress(codec.encode(items)))


def unseal_items(text: str) -> list[OutputItem] | None:
    """The conversation; None where it is not ours."""
    data = _bytes(text, _COMPACTED)
    if data is None:
        return None
    unpacker = zlib.decompressobj()
    try:
        return codec.decode(unpacker.decompress(data, _MOST_BYTES), list[OutputItem])
    except (zlib.error, InvalidJson):
        return None


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def _bytes(text: str, prefix: str) -> bytes | None:
    if not text.startswith(prefix):
        return None
    try:
        return base64.urlsafe_b64decode(text.removeprefix(prefix).encode())
    except (binascii.Error, ValueError):
        return None
