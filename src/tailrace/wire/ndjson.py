"""JSON lines (https://github.com/ndjson/ndjson-spec): a push parser.

LF or CRLF ends a line; blank lines are nothing.
"""

from tailrace.schema.errors import ProviderError

MAX_LINE_BYTES = 64 * 1024 * 1024


class NdjsonParser:
    """Bytes in, split anywhere; whole lines out, still as bytes. Linear in the bytes, however they are split."""

    __slots__ = ("_limit", "_pending", "_too_long")

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._limit = max_line_bytes
        self._pending = bytearray()
        self._too_long = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes.

        Raises ProviderError (protocol_error) for a line over the greatest length, in a call of its own: the lines
        before it have been returned by then.
        """
        self._refuse_too_long()
        end = data.rfind(b"\n")
        if end < 0:
            self._pending += data
            if len(self._pending) > self._limit + 1:  # a CR at the end may belong to the line break
                self._too_long = True
                self._refuse_too_long()
            return []
        self._pending += data[:end]
        complete = bytes(self._pending)
        self._pending = bytearray(data[end + 1 :])
        lines = self._lines(complete)
        if not lines:
            self._refuse_too_long()
        return lines

    def close(self) -> list[bytes]:
        """The bytes have ended: the last line, where it lacks its line break. Raises as `feed` does."""
        self._refuse_too_long()
        rest = bytes(self._pending)
        self._pending.clear()
        lines = self._lines(rest)
        self._refuse_too_long()
        return lines

    def _lines(self, complete: bytes) -> list[bytes]:
        lines: list[bytes] = []
        for line in complete.split(b"\n"):
            stripped = line.removesuffix(b"\r")
            if len(stripped) > self._limit:
                self._too_long = True
                break
            if stripped.strip():
                lines.append(stripped)
        return lines

    def _refuse_too_long(self) -> None:
        if self._too_long:
            raise ProviderError("protocol_error", f"a line is longer than {self._limit} bytes")
