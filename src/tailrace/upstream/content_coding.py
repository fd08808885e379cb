"""Undoing what a server has done to a body on its way (RFC 9110 §8.4.1), piece by piece as it comes."""

import zlib
from typing import NoReturn, Protocol

from tailrace.upstream.http_errors import MalformedBody, UnknownEncoding

_GZIP = 16 + zlib.MAX_WBITS
_MOST_BYTES = 64 * 1024  # at a time: a few bytes may become millions


class Coding(Protocol):
    """A body's way back to what it was."""

    def undo(self, data: bytes) -> tuple[bytes, bytes | None]:
        """A part of what `data` was, and what of `data` is to be given again for more, if there may be more. Raises
        HttpError."""

    def end(self) -> None:
        """Raises HttpError: the body has ended, and this is not how it should."""


class _Deflated:
    """gzip, of one member or several, or deflate: in its zlib wrapper or, as some servers send it, without."""

    def __init__(self, *, is_gzip: bool) -> None:
        self._is_gzip = is_gzip
        self._stream: zlib._Decompress | None = None

    def undo(self, data: bytes) -> tuple[bytes, bytes | None]:
        """See `Coding`."""
        stream = self._stream or zlib.decompressobj(_GZIP if self._is_gzip else _wrapper(data))
        self._stream = stream
        try:
            undone = stream.decompress(data, _MOST_BYTES)
        except zlib.error:
            raise MalformedBody from None
        if stream.eof:
            self._stream = None  # what comes behind it, if anything does, is another
            return undone, stream.unused_data or None
        rest = stream.unconsumed_tail
        return undone, rest if rest or len(undone) == _MOST_BYTES else None

    def end(self) -> None:
        """See `Coding`."""
        if self._stream is not None:
            raise MalformedBody


class _Unknown:
    """One that nobody knows, or several on top of each other."""

    def undo(self, data: bytes) -> NoReturn:
        """See `Coding`."""
        raise UnknownEncoding

    def end(self) -> None:
        """See `Coding`: a body without a byte in it is the same in any coding."""


def coding_of(said: str) -> Coding | None:
    """What `Content-Encoding` says; None: the body is as it was."""
    match said.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return _Deflated(is_gzip=True)
        case "deflate":
            return _Deflated(is_gzip=False)
        case _:
            return _Unknown()


def _wrapper(data: bytes) -> int:
    """RFC 1950 §2.2: a wrapper's first byte names the method, 8, and a window of up to 32 KB."""
    return zlib.MAX_WBITS if data[0] & 0x8F == 0x08 else -zlib.MAX_WBITS
