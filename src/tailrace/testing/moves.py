"""What a script is made of: wire-neutral moves that a scripted upstream makes one after another.

A script that says nothing of its end finishes with `tool_calls` where it made calls, and with `stop` otherwise.
"""

from typing import Literal

from msgspec import Struct, field

FinishAs = Literal["stop", "length", "refusal", "tool_calls"]


class Text(Struct, frozen=True):
    """Visible text in pieces of `chunk` characters. Texts in a row are one message."""

    text: str
    chunk: int = 6


class Burst(Struct, frozen=True):
    """Visible text of `events` numbered pieces ("1 2 3 …"), so that a lost or doubled one shows."""

    events: int


class Reasoning(Struct, frozen=True):
    """Reasoning with an opaque seal; `redacted` shows nothing but the seal."""

    text: str
    chunk: int = 12
    redacted: bool = False


class Call(Struct, frozen=True):
    """A tool call; `arguments` is JSON text (empty: the wire's way of saying that there are none).

    Calls in a row are parallel calls. Without `call_id` the wire makes one.
    """

    name: str
    arguments: str = ""
    call_id: str = ""
    chunk: int = 6


class Spent(Struct, frozen=True):
    """The usage to report, instead of an estimate. `prompt` includes `cached`, `completion` includes `reasoning`.

    `cost` in USD, on wires whose hosts report one.
    """

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0
    cost: float | None = None


class Finish(Struct, frozen=True):
    """Why the answer ends. With `refusal`, the text is said in the wire's form for refusals."""

    reason: FinishAs


class Fail(Struct, frozen=True):
    """An error object in mid-stream, the last thing sent. `code` is one of `tailrace.schema.errors.CODES`."""

    code: str = "server_error"
    message: str = "The scripted upstream failed, as it was asked to."


class HttpError(Struct, frozen=True):
    """An HTTP error instead of an answer; must be the first move. `retry_after` in seconds; `body` replaces ours.

    With status 200, a body that is no answer at all; `headers` say what it claims to be.
    """

    status: int
    retry_after: float | None = None
    message: str = "The scripted upstream refused, as it was asked to."
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Headers(Struct, frozen=True):
    """More headers for the answer; must be the first move."""

    headers: dict[str, str]


class Pause(Struct, frozen=True):
    """Wait before going on."""

    seconds: float


class Paced(Struct, frozen=True):
    """Make `moves` with `seconds` before each piece. The schedule is absolute: lateness does not add up."""

    seconds: float
    moves: "tuple[Move, ...]"


class KeepAlive(Struct, frozen=True):
    """A comment or ping: bytes that are no progress."""


class Raw(Struct, frozen=True):
    """An event whose data is `text` as it stands. Before anything else was said, it comes before the answer's start.

    `last`: nothing comes after it.
    """

    text: str
    last: bool = False


class Gate(Struct, frozen=True):
    """Wait until the test opens the gate of this name."""

    name: str


class Stall(Struct, frozen=True):
    """Say nothing more until the client goes. As the first move: accept, and send not even headers."""


class Cut(Struct, frozen=True):
    """Reset the connection. As the first move: before any header."""


class CutAt(Struct, frozen=True):
    """Reset the connection after so many bytes of a streamed answer's body, whatever they say."""

    after: int


class Drip(Struct, frozen=True):
    """A streamed answer comes in pieces of `size` bytes, each after a pause."""

    size: int = 1
    seconds: float = 0.0


class Begin(Struct, frozen=True):
    """The headers of the answer, at once, and nothing else."""


class Bytes(Struct, frozen=True):
    """Bytes between the frames of a streamed answer, as they are: a broken frame, blank lines, another protocol's."""

    data: bytes


class Flood(Struct, frozen=True):
    """A text that grows by `piece`, `times` times, made while it is sent; with a `name`, a call whose arguments do.

    What the whole answer says of it is nothing: nobody is meant to hear it out.
    """

    piece: str = " " * 1024
    times: int = 100 * 1024
    name: str = ""


class Interleaved(Struct, frozen=True):
    """Texts, thoughts and calls that all begin, then grow in turns, then end; `backwards`: their places in the answer
    are counted down."""

    moves: "tuple[Text | Reasoning | Call, ...]"
    backwards: bool = False


class Close(Struct, frozen=True):
    """Close the socket with a code (RFC 6455 §7.4); over HTTP there is none, and it is a `Cut`."""

    code: int = 1000


class Handshake(Struct, frozen=True, kw_only=True):
    """How a WebSocket's handshake is answered: with `status`, when the gate of this name is open, if one is named.

    `stalls`: not at all. `pongs`: are pings answered later? `headers` go with the answer.
    """

    status: int = 101
    gate: str | None = None
    stalls: bool = False
    pongs: bool = True
    headers: dict[str, str] = {}


Control = Pause | Gate | Stall | Cut | Close
Fault = CutAt | Drip | Begin | Bytes | Raw | Flood | Interleaved
Move = (
    Text | Burst | Reasoning | Call | Spent | Finish | Fail | HttpError | Headers | Paced | KeepAlive | Fault | Control
)
