"""AWS's binary event stream: a push parser and a frame writer.

A frame is a prelude (its length, its headers' length, their CRC32), headers, a payload and a CRC32 of all before it;
numbers are big-endian. The specification:
https://smithy.io/2.0/aws/amazon-eventstream.html (application/vnd.amazon.eventstream).
"""

from binascii import crc32
from datetime import UTC, datetime, timedelta
from struct import Struct as Layout
from struct import error as LayoutError  # noqa: N812  # an exception's name
from uuid import UUID

from msgspec import Struct

from tailrace.schema.errors import ProviderError

MAX_FRAME_BYTES = 24 * 1024 * 1024 + 128 * 1024 + 16  # the greatest payload and headers that AWS's own parsers take
LEAST_FRAME_BYTES = 16
MEDIA_TYPE = "application/vnd.amazon.eventstream"

HeaderValue = bool | int | bytes | str | datetime | UUID
Headers = dict[str, HeaderValue]

_PRELUDE = Layout(">III")
_CRC = Layout(">I")
_LENGTH = Layout(">H")
_PRELUDE_BYTES = _PRELUDE.size
_CHECKED_BYTES = 8  # of the prelude: what its CRC is of
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_TEXT_BYTES = 0x7FFF
_REMEMBERED = 64  # sets of headers: a stream has a few, each as often as there are events

# type -> how a whole number of that size is written
_INTEGERS = {2: Layout(">b"), 3: Layout(">h"), 4: Layout(">i"), 5: Layout(">q")}
_TRUE, _FALSE, _BYTES, _TEXT, _TIME, _UUID = 0, 1, 6, 7, 8, 9
_LONG = _INTEGERS[5]


class Message(Struct, frozen=True, gc=False):
    """One frame: its headers (shared by frames that have the same ones; not to be changed) and its payload."""

    headers: Headers
    payload: bytes

    def text(self, name: str) -> str:
        """The header of this name where it is a text, else ""."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class EventStreamParser:
    """Bytes in, split anywhere; whole frames out. Linear in the bytes, however they are split."""

    __slots__ = ("_broken", "_known", "_limit", "_pending", "_wanted")

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._limit = max_frame_bytes
        self._pending = bytearray()  # the beginning of a frame
        self._wanted = _PRELUDE_BYTES  # how many bytes of it must be there before it is worth a look
        self._broken: ProviderError | None = None
        self._known: dict[bytes, Headers] = {}

    def feed(self, data: bytes) -> list[Message]:
        """The frames that `data` completes.

        Raises ProviderError (protocol_error) for a frame whose checksums, lengths or headers are wrong, or that is over
        the greatest length, in a call of its own: the frames before it have been returned by then.
        """
        self._refuse_broken()
        if self._pending:
            self._pending += data
            if len(self._pending) < self._wanted:
                return []
            data = bytes(self._pending)
            self._pending.clear()
        frames, end = self._frames(data)
        self._pending += data[end:]
        if not frames:
            self._refuse_broken()
        return frames

    def close(self) -> list[Message]:
        """The bytes have ended. A frame that is cut is none: its checksum is missing. Raises as `feed` does."""
        self._refuse_broken()
        self._pending.clear()
        return []

    def _frames(self, data: bytes) -> tuple[list[Message], int]:
        """The whole frames of `data`, and where the last of them ends."""
        frames: list[Message] = []
        start, size = 0, len(data)
        while size - start >= _PRELUDE_BYTES:
            try:
                length, headers_length = self._prelude(data, start)
                if size - start < length:
                    self._wanted = length
                    return frames, start
                frames.append(self._message(data, start, length, headers_length))
            except ProviderError as error:
                self._broken = error
                return frames, size
            start += length
        self._wanted = _PRELUDE_BYTES
        return frames, start

    def _prelude(self, data: bytes, start: int) -> tuple[int, int]:
        length, headers_length, checksum = _PRELUDE.unpack_from(data, start)
        if crc32(data[start : start + _CHECKED_BYTES]) != checksum:
            raise _broken("the checksum of a frame's lengths is wrong")
        if length > self._limit:
            raise _broken(f"a frame is longer than {self._limit} bytes")
        if length < LEAST_FRAME_BYTES or headers_length > length - LEAST_FRAME_BYTES:
            raise _broken("a frame is shorter than what it holds")
        return length, headers_length

    def _message(self, data: bytes, start: int, length: int, headers_length: int) -> Message:
        end = start + length - _CRC.size
        if crc32(data[start:end]) != _CRC.unpack_from(data, end)[0]:
            raise _broken("the checksum of a frame is wrong")
        at = start + _PRELUDE_BYTES
        payload_at = at + headers_length
        packed = data[at:payload_at]
        headers = self._known.get(packed)
        if headers is None:
            headers = unpack_headers(packed)
            if len(self._known) < _REMEMBERED:
                self._known[packed] = headers
        return Message(headers, data[payload_at:end])

    def _refuse_broken(self) -> None:
        if self._broken is not None:
            raise self._broken


def unpack_headers(packed: bytes) -> Headers:
    """The headers of a frame. Raises ProviderError (protocol_error) where they do not end where they should."""
    headers: Headers = {}
    at = 0
    try:
        while at < len(packed):
            name_end = at + 1 + packed[at]
            name = packed[at + 1 : name_end].decode()
            headers[name], at = _value(packed, packed[name_end], name_end + 1)
    except (IndexError, LayoutError, ValueError, OverflowError) as error:
        raise _broken("the headers of a frame cannot be read") from error
    if at != len(packed):
        raise _broken("the headers of a frame cannot be read")
    return headers


def _value(packed: bytes, kind: int, at: int) -> tuple[HeaderValue, int]:
    """A header's value of this type, and where it ends."""
    if kind in {_TRUE, _FALSE}:
        return kind == _TRUE, at
    if kind in _INTEGERS:
        number: int = _INTEGERS[kind].unpack_from(packed, at)[0]
        return number, at + _INTEGERS[kind].size
    if kind == _TIME:
        return _EPOCH + timedelta(milliseconds=_LONG.unpack_from(packed, at)[0]), at + _LONG.size
    if kind == _UUID:
        return UUID(bytes=packed[at : at + 16]), at + 16
    if kind not in {_BYTES, _TEXT}:
        raise ValueError(kind)
    begin = at + _LENGTH.size
    end = begin + _LENGTH.unpack_from(packed, at)[0]
    return packed[begin:end] if kind == _BYTES else packed[begin:end].decode(), end


def frame(headers: Headers, payload: bytes) -> bytes:
    """One frame as it is sent. A whole number becomes a header of 32 bits, or of 64 where it needs them.

    Raises ValueError for a name or a value that is longer than the format can say.
    """
    packed = b"".join(_packed(name, value) for name, value in headers.items())
    lengths = _PRELUDE.pack(LEAST_FRAME_BYTES + len(packed) + len(payload), len(packed), 0)[:_CHECKED_BYTES]
    said = b"".join((lengths, _CRC.pack(crc32(lengths)), packed, payload))
    return said + _CRC.pack(crc32(said))


def event(name: str, payload: bytes) -> bytes:
    """An event of a service's stream, with JSON in it."""
    return frame({":event-type": name, ":content-type": "application/json", ":message-type": "event"}, payload)


def exception(name: str, payload: bytes) -> bytes:
    """An error that the service has modelled, in mid-stream, with JSON in it."""
    return frame({":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}, payload)


def _packed(name: str, value: HeaderValue) -> bytes:
    said = name.encode()
    if not 0 < len(said) <= 0xFF:
        raise ValueError("a header's name has 1 to 255 bytes")
    return bytes((len(said),)) + said + _packed_value(value)


def _packed_value(value: HeaderValue) -> bytes:
    match value:
        case bool():
            return bytes((_TRUE if value else _FALSE,))
        case int():
            kind = 4 if -(2**31) <= value < 2**31 else 5
            return bytes((kind,)) + _INTEGERS[kind].pack(value)
        case datetime():
            return bytes((_TIME,)) + _LONG.pack((value - _EPOCH) // timedelta(milliseconds=1))
        case UUID():
            return bytes((_UUID,)) + value.bytes
        case str() | bytes():
            said = value.encode() if isinstance(value, str) else value
            if len(said) > _MAX_TEXT_BYTES:
                raise ValueError(f"a header's value has at most {_MAX_TEXT_BYTES} bytes")
            return bytes((_TEXT if isinstance(value, str) else _BYTES,)) + _LENGTH.pack(len(said)) + said


def _broken(message: str) -> ProviderError:
    return ProviderError("protocol_error", message)
