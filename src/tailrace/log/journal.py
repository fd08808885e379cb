"""What has been appended to live runs since the last transaction, in a file of its own beside the SQLite log's.

While text comes word by word, a transaction for each word costs more than all else that is done with it. So a row waits
here for the next transaction, which some run's beginning or end calls for soon: copied to the end of a file that is
mapped into memory. That is as durable as the transaction is: both are with the operating system when the call returns,
and no call of the system's is made for it. The file has its full size from the first, so that a full disk is met when
it is made, and not by a write into memory that cannot fail in an orderly way.

A row is written once and read only after a crash. With the transaction that takes the rows over the journal begins anew
at its first byte; what stands behind its end are rows of an earlier time. Three things tell what counts: a record is
whole by its length and its CRC-32, its id is the one before it plus one, and the first id is the one that the log's
file is waiting for, or one that it has already. A file that was put back from a copy waits for another one, and takes
nothing that is not its own.
"""

import os
import struct
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path
from zlib import crc32

import msgspec

MOST_ROWS = 256  # taken over within a millisecond
MOST_BYTES = 256 * 1024
SIZE = 512 * 1024  # of the file: what comes before it is full has room in it, with the longest headers
_HEAD = struct.Struct("<II")  # the length of the record's body, and its CRC-32

Row = tuple[int, int, int, int, int, str, str | None, bytes]
"""id, run, first_seq, last_seq, timestamp (ms), traceparent, tracestate, payloads (JSON lines)."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Row).decode


class Journal:
    """The journal in the file `path`. `rows` are those in it, `size` their bytes. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self.rows: list[Row] = []
        self.size = 0
        self.is_full = False
        """Is it time to take its rows over?"""
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            lacks = SIZE - os.fstat(fd).st_size
            if lacks > 0 and os.pwrite(fd, bytes(lacks), SIZE - lacks) < lacks:
                raise OSError("the journal has no room")
            self._map = mmap(fd, SIZE)
        finally:
            os.close(fd)

    def add(self, row: Row) -> None:
        """One more row; survives the death of the process on return. Raises OSError where it has no room."""
        body = _encode(row)
        end = self.size + _HEAD.size + len(body)
        if end > SIZE:
            raise OSError("the journal has no room")
        self._map[self.size : end] = _HEAD.pack(len(body), crc32(body)) + body
        self.size = end
        self.rows.append(row)
        self.is_full = self.size >= MOST_BYTES or len(self.rows) >= MOST_ROWS

    def clear(self) -> None:
        """The rows stand in the log's own file."""
        self.rows = []
        self.size = 0
        self.is_full = False

    def recover(self, last_id: int) -> list[Row]:
        """What an earlier process has left here and the log's file, whose last row is `last_id`, has not got.

        Raises OSError, also for rows of another shape: what was acknowledged must not be passed over.
        """
        left: list[Row] = []
        for row in self._left():
            if row[0] > last_id + len(left) + 1:
                break
            if row[0] > last_id:
                left.append(row)
        return left

    def _left(self) -> Iterator[Row]:
        data = self._map[:]
        at, last_id = 0, None
        while at + _HEAD.size <= len(data):
            size, checksum = _HEAD.unpack_from(data, at)
            body = data[at + _HEAD.size : at + _HEAD.size + size]
            if not size or len(body) < size or crc32(body) != checksum:
                return
            try:
                row = _decode(body)
            except msgspec.MsgspecError as error:
                raise OSError(f"the journal has rows of another version of Tailrace: {error}") from error
            if last_id is not None and row[0] != last_id + 1:
                return
            yield row
            last_id = row[0]
            at += _HEAD.size + size

    def close(self) -> None:
        """Let go of the file; idempotent."""
        self._map.close()
