"""What has been appended to live runs since the last transaction, in a file of its own beside the SQLite log's.

A transaction for each word of a text, and for each run's beginning and end, costs more than all else that is done with
it. So they wait here until there are many, or somebody calls for a transaction: copied to the end of a file that is
mapped into memory. That is as durable as the transaction is: both are with the operating system when the call returns,
and no call of the system's is made for it. The file has its full size from the first, so that a full disk is met when
it is made, and not by a write into memory that cannot fail in an orderly way.

An entry is written once and read only after a crash. With the transaction that takes them over the journal begins anew
at its first byte; what stands behind its end are entries of an earlier time. Three things tell what counts: a record is
whole by its length and its CRC-32, its id is the one before it plus one, and the first id is the one that the log's
file is waiting for, or one that it has already. A file that was put back from a copy waits for another one, and takes
nothing that is not its own.
"""

import os
import struct
from collections.abc import Callable, Iterator
from mmap import mmap
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import msgspec

MOST_ENTRIES = 512  # taken over within a millisecond, at 1.1 µs each; 256 take 1.4
MOST_BYTES = 256 * 1024
SIZE = 512 * 1024  # of the file: what comes before it is full has room in it, with the longest headers
_HEAD = struct.Struct("<II")  # the length of the record's body, and its CRC-32

Row = tuple[int, int, int, int, int, str, str | None, bool, bytes]
"""A batch: id, run, first_seq, last_seq, timestamp (ms), traceparent, tracestate, does it end the run, payloads (JSON
lines)."""


class Claim(NamedTuple):
    """A run was acquired; with epoch 1, there is a new one."""

    id: int
    run: int
    run_id: str
    epoch: int


Entry = Row | Claim

_Before = tuple[int, int, int, int, int, str, str | None, bytes]  # a Row of the log's schema 2: none ended its run

_encode = msgspec.msgpack.Encoder().encode
_fields = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_row = msgspec.msgpack.Decoder(Row).decode
_row_before = msgspec.msgpack.Decoder(_Before).decode
_claim = msgspec.msgpack.Decoder(Claim).decode


class Journal:
    """The journal in the file `path`. `entries` are those in it, `size` their bytes; `begun` is called when there is
    something in it that was empty. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self.entries: list[Entry] = []
        self.begun: Callable[[], object] = bool
        self.size = 0
        self.is_full = False
        """Is it time to take its entries over?"""
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            lacks = SIZE - os.fstat(fd).st_size
            if lacks > 0 and os.pwrite(fd, bytes(lacks), SIZE - lacks) < lacks:
                raise OSError("the journal has no room")
            self._map = mmap(fd, SIZE)
        finally:
            os.close(fd)

    def add(self, entry: Entry) -> None:
        """One more; survives the death of the process on return. Raises OSError where it has no room."""
        body = _encode(entry)
        end = self.size + _HEAD.size + len(body)
        if end > SIZE:
            raise OSError("the journal has no room")
        self._map[self.size : end] = _HEAD.pack(len(body), crc32(body)) + body
        if not self.size:
            self.begun()
        self.size = end
        self.entries.append(entry)
        self.is_full = self.size >= MOST_BYTES or len(self.entries) >= MOST_ENTRIES

    def has(self, entry_id: int) -> bool:
        """Is the entry of this id still in it? Those that were taken over have lower ids than all that are in it."""
        return bool(self.entries) and self.entries[0][0] <= entry_id

    def clear(self) -> None:
        """The entries stand in the log's own file."""
        self.entries = []
        self.size = 0
        self.is_full = False

    def recover(self, last_id: int) -> list[Entry]:
        """What an earlier process has left here and the log's file, which has all up to `last_id`, has not got.

        Raises OSError, also for entries of another shape: what was acknowledged must not be passed over.
        """
        left: list[Entry] = []
        for entry in self._left():
            if entry[0] > last_id + len(left) + 1:
                break
            if entry[0] > last_id:
                left.append(entry)
        return left

    def _left(self) -> Iterator[Entry]:
        data = self._map[:]
        at, last_id = 0, None
        while at + _HEAD.size <= len(data):
            size, checksum = _HEAD.unpack_from(data, at)
            body = data[at + _HEAD.size : at + _HEAD.size + size]
            if not size or len(body) < size or crc32(body) != checksum:
                return
            entry = _entry(body)
            if last_id is not None and entry[0] != last_id + 1:
                return
            yield entry
            last_id = entry[0]
            at += _HEAD.size + size

    def close(self) -> None:
        """Let go of the file; idempotent."""
        self._map.close()


def _entry(body: bytes) -> Entry:
    """Raises OSError."""
    try:
        match len(_fields(body)):
            case 9:
                row: Row = _row(body)
                return row
            case 8:
                before: _Before = _row_before(body)
                return (*before[:7], False, before[7])
            case _:
                claim: Claim = _claim(body)
                return claim
    except msgspec.MsgspecError as error:
        raise OSError(f"the journal has entries of another version of Tailrace: {error}") from error
