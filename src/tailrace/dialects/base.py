"""What a dialect is: a pure function from a run's log to frames, and a cursor within them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal, NamedTuple, Protocol

from tailrace.schema.batch import Batch

Detail = Literal["full", "summary", "none"]

TOOL_ITEMS = frozenset(
    {"function_call", "function_call_output", "script_execution", "script_execution_output", "provider_item"}
)


@dataclass(frozen=True, slots=True)
class View:
    """How much of reasoning and tools a client wants to see: all, each item's start and end, or nothing."""

    reasoning: Detail = "full"
    tools: Detail = "full"

    def detail(self, item_type: str) -> Detail:
        """How much of an item of this type is shown."""
        if item_type == "reasoning":
            return self.reasoning
        return self.tools if item_type in TOOL_ITEMS else "full"


FULL = View()


class Frame(NamedTuple):
    """One frame: the log's `seq` that it stands at, its event name (none: ""), and its JSON."""

    seq: int
    event: str
    data: bytes

    def sse(self) -> bytes:
        """The frame on an event stream: LF line ends, the cursor as `id`."""
        return b"id: %d\n%b" % (self.seq, self.bare())

    def bare(self) -> bytes:
        """The frame as its protocol's own vendor sends it, without our cursor."""
        if not self.event:
            return b"data: %b\n\n" % self.data
        return b"event: %b\ndata: %b\n\n" % (self.event.encode(), self.data)


class Encoder(Protocol):
    """Turns a run's batches, in order from the first, into frames."""

    def encode(self, batch: Batch) -> list[Frame]:
        """The frames of this batch."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """A client protocol.

    `shared` encodes a batch where the frames depend on that batch alone: it may then be begun anywhere in the log, and
    be made once for all readers. Otherwise `encoder` must be fed from the first event on, whatever the cursor.
    `closing` is what its vendor sends behind the last frame (`data: [DONE]`).
    """

    name: str
    encoder: Callable[[View], Encoder]
    shared: Callable[[Batch], bytes] | None = None
    closing: bytes = b""


def sse(frames: Iterable[Frame], after: int = 0) -> bytes:
    """Those of the frames that stand behind `after`, as event stream bytes.

    Of several frames that stand at one `seq` the last has the cursor: who comes back with it has seen them all.
    """
    shown = [frame for frame in frames if frame.seq > after]
    following = [frame.seq for frame in shown[1:]]
    return b"".join(
        [frame.sse() if frame.seq != then else frame.bare() for frame, then in zip_longest(shown, following)]
    )
