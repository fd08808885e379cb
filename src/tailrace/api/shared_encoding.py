"""One encoding for all readers of a run in one dialect: encode once, send many (design, "How a run goes", 4).

A dialect's frames depend on all of the log before them, so that an encoder must be fed from the first event on. Readers
of the same run, dialect and view share one encoder: whoever comes first to a batch has it encoded, the others find its
frames among the latest. A reader elsewhere in the log (late, or far behind) has an encoder of its own until it comes to
where the shared one is. Bounded: the last `KEPT` batches are kept, for as long as somebody reads.
"""

from collections.abc import AsyncIterator, Callable
from weakref import WeakValueDictionary

from tailrace.dialects.base import Dialect, Encoder, Frame, View, sse
from tailrace.runs.reader import RunReader
from tailrace.schema.batch import Batch

KEPT = 64

Offer = Callable[["Encoded"], bool]  # takes a batch's frames at once (True), or not at all
_Key = tuple[str, str, View]


class Encoded:
    """A batch's frames, and the bytes they make, joined once however many readers send them."""

    __slots__ = ("_bare", "_with_cursors", "frames")

    def __init__(self, frames: list[Frame]) -> None:
        self.frames = frames
        self._bare: bytes | None = None
        self._with_cursors: bytes | None = None

    @property
    def bare(self) -> bytes:
        """As the protocol's vendor sends them."""
        if self._bare is None:
            frames = self.frames
            self._bare = frames[0].bare() if len(frames) == 1 else b"".join([frame.bare() for frame in frames])
        return self._bare

    @property
    def with_cursors(self) -> bytes:
        """With our cursor as `id`."""
        if self._with_cursors is None:
            self._with_cursors = sse(self.frames)
        return self._with_cursors


class SharedEncoding:
    """One encoder, where it stands, and what it made last."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._seq = 0
        self._latest: dict[tuple[int, int], Encoded] = {}

    def take(self, batch: Batch) -> Encoded | None:
        """The batch's frames where it is the next one, or was one of the latest; None otherwise."""
        place = (batch.first_seq, batch.last_seq)
        if batch.first_seq != self._seq + 1:
            return self._latest.get(place)
        made = self._latest[place] = Encoded(self._encoder.encode(batch))
        self._seq = batch.last_seq
        if len(self._latest) > KEPT:
            del self._latest[next(iter(self._latest))]
        return made


class Encodings:
    """The encodings that somebody reads."""

    def __init__(self, reader: RunReader) -> None:
        self._reader = reader
        self._shared: WeakValueDictionary[_Key, SharedEncoding] = WeakValueDictionary()

    async def read(
        self, run_id: str, dialect: Dialect, view: View, after: int = 0, push: Offer | None = None
    ) -> AsyncIterator[list[Encoded]]:
        """The frames of what stands behind `after` in the log, as it comes, what is there at once together; ends behind
        the terminal event. `push` is offered first what comes while the reader waits at the end (see `Log.tail`).
        Raises NotFound."""
        key = (run_id, dialect.name, view)
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = SharedEncoding(dialect.encoder(view))
        own: Encoder | None = None

        def offered(batch: Batch) -> bool:
            nonlocal own
            encoded = shared.take(batch)
            if push is None or encoded is None or not push(encoded):
                return False
            own = None
            return True

        async for page in self._reader.pages(run_id, after, offered):
            made = []
            for batch in page:
                encoded = shared.take(batch)
                if encoded is None:
                    own = own or await self._fed(run_id, dialect.encoder(view), batch.first_seq)
                    encoded = Encoded(own.encode(batch))
                else:
                    own = None
                made.append(encoded)
            yield made

    async def _fed(self, run_id: str, encoder: Encoder, before: int) -> Encoder:
        """The encoder, fed with all that stands before this seq."""
        if before == 1:
            return encoder
        async for page in self._reader.pages(run_id, 0):
            for batch in page:
                if batch.last_seq < before:
                    encoder.encode(batch)
                else:
                    if batch.first_seq < before:
                        encoder.encode(head(batch, before))
                    return encoder
        return encoder


def head(batch: Batch, before: int) -> Batch:
    """The part of the batch that stands before this seq. Raises ValueError where there is none."""
    count = before - batch.first_seq
    return Batch(batch.run_id, batch.first_seq, batch.timestamp, batch.trace, batch.payloads[:count], batch.raw[:count])
