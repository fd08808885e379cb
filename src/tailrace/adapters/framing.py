"""How a wire's events are cut out of the bytes of a streamed answer: a wire chooses one of these."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter, methodcaller
from typing import Any, Protocol

from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson
from tailrace.wire.eventstream import EventStreamParser, Message
from tailrace.wire.ndjson import NdjsonParser
from tailrace.wire.sse import SseParser

_BOM = b"\xef\xbb\xbf"


class Parser(Protocol):
    """A push parser (wire/): bytes in, split anywhere; frames out. Both raise ProviderError (protocol_error)."""

    def feed(self, data: bytes) -> Sequence[Any]:
        """The frames that `data` completes."""

    def close(self) -> Sequence[Any]:
        """The bytes have ended: the frame that only lacks its end mark, if there is one."""


@dataclass(frozen=True, slots=True)
class Framing:
    """`parser` makes a parser of its own for each answer, `json` is the JSON text of one of its frames. A body that
    begins with one of `others` is no such stream: a plain JSON answer, or a page."""

    parser: Callable[[], Parser]
    json: Callable[[Any], bytes]
    others: tuple[bytes, ...]


def union_of(message: Message) -> bytes:
    """A message of AWS's event stream as the union that its services' models make of it: `{"<its name>": <payload>}`.

    An error, modelled (an exception) or not, is `{"error": {"code": "<its name>", "message": …}}`.
    """
    match message.text(":message-type"):
        case "exception":
            said = _object(message.payload)
            return codec.encode({"error": {**said, "code": message.text(":exception-type")}})
        case "error":
            code, reason = message.text(":error-code"), message.text(":error-message")
            return codec.encode({"error": {"code": code, "message": reason}})
    return b"{%b:%b}" % (codec.encode(message.text(":event-type")), message.payload or b"{}")


def _object(payload: bytes) -> dict[str, Any]:
    try:
        said = codec.decode_any(payload)
    except (InvalidJson, RecursionError):
        said = None
    return said if isinstance(said, dict) else {"message": payload.decode("utf-8", "replace")}


SSE = Framing(parser=SseParser, json=attrgetter("data"), others=(b"{", b"[", b"<"))
# A line is JSON, and so is an answer of one line (a BOM may lead): only what is no object is no such stream.
LINES = Framing(parser=NdjsonParser, json=methodcaller("removeprefix", _BOM), others=(b"[", b"<"))
# A frame begins with its length: what begins with a letter or a bracket would be longer than a frame may be.
EVENT_STREAM = Framing(parser=EventStreamParser, json=union_of, others=(b"{", b"[", b"<"))
