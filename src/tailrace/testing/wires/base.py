"""What the scripted wires share: a request as a script sees it, ids, seals, and the order in which a plan is said."""

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256, sha512
from typing import Any, Protocol
from urllib.parse import unquote

from msgspec import Struct

from tailrace.schema import codec
from tailrace.testing.moves import Begin, Bytes, Close, Control, Cut, Fail, KeepAlive, Raw, Stall
from tailrace.testing.wires.plan import Block, Closed, Flooded, Grew, Op, Opened, Plan
from tailrace.testing.wires.shape import shaped

Json = dict[str, Any]
Step = bytes | Control

_WORDLESS = (KeepAlive, Begin, Bytes, Raw)
_EPOCH = 1_750_000_000  # answers are dated from here, a second each: the same script gives the same bytes
_MEMORY = 1024


class OfferedTool(Struct, frozen=True):
    """A function tool that the request offers."""

    name: str
    parameters: Json


class Asked(Struct, frozen=True, kw_only=True):
    """A request, wire-neutral. `outputs` are the tool outputs at its very end; `body` is its JSON."""

    wire: str
    model: str
    stream: bool
    user_texts: tuple[str, ...]
    tools: tuple[OfferedTool, ...]
    outputs: tuple[str, ...]
    body: Json


class Ticket(Struct, frozen=True):
    """The identity of the `number`-th answer: its ids and date follow from it."""

    seed: str
    number: int

    def id(self, prefix: str, part: int = 0) -> str:
        """An id with the vendor's `prefix`; `part` tells apart several of a kind."""
        return prefix + sha256(f"{self.seed}/{self.number}/{prefix}/{part}".encode()).hexdigest()[:32]

    @property
    def created(self) -> int:
        """Seconds since the epoch."""
        return _EPOCH + self.number


class Renderer(Protocol):
    """An answer in one wire's words. Each method gives the frames of one moment, ready to be sent."""

    keep_alive: bytes

    def start(self) -> bytes:
        """Before the first block."""

    def opened(self, block: Block) -> bytes:
        """A block begins."""

    def grew(self, block: Block, piece: str) -> bytes:
        """A block grows."""

    def closed(self, block: Block) -> bytes:
        """A block is whole."""

    def failed(self, fail: Fail) -> bytes:
        """The answer breaks off with an error."""

    def end(self) -> bytes:
        """The answer is whole."""

    def whole(self) -> Json:
        """The non-streaming answer."""


@dataclass(slots=True)
class Memory:
    """What an upstream recalls of its answers: the thinking blocks before each tool use, by model and id."""

    thinking: dict[tuple[str, str], list[Json]] = field(default_factory=dict)

    def keep(self, model: str, call_id: str, blocks: list[Json]) -> None:
        """Recall `blocks`; the oldest are forgotten in a long life."""
        self.thinking[model, call_id] = blocks
        while len(self.thinking) > _MEMORY:
            del self.thinking[next(iter(self.thinking))]


@dataclass(frozen=True, slots=True)
class ScriptedWire:
    """One wire: how a request is read, why it would be refused (HTTP 400), how an answer or an error is said.

    `path` is a route from the origin on; what it names in braces stands in the JSON that `read`, `complaint` and
    `renderer` are given, as if the body had said it. `content_type` is that of a streamed answer; `error_headers` go
    with an error of a status.
    """

    name: str
    path: str
    read: Callable[[Json], Asked]
    complaint: Callable[[Json, Memory], str | None]
    renderer: Callable[[Plan, Ticket, Json, Memory], Renderer]
    error: Callable[[int, str], Json]
    content_type: str = "text/event-stream; charset=utf-8"
    error_headers: Callable[[int], dict[str, str]] = lambda status: {}


def named_in(route: str, path: str) -> dict[str, str]:
    """What a route (`ScriptedWire.path`) names in braces, as far as a wire's path (`adapters.base.Wire.path`) has it.

    The route begins at the origin, the path at the base URL, so that it may lack segments of the route's beginning.
    Raises ValueError where they do not match.
    """
    segments = re.split(r"/(?![^{}]*\})", route)[1:]
    for at in range(len(segments)):
        found = re.fullmatch("".join(map(_pattern, segments[at:])), path.partition("?")[0])
        if found is not None:
            return {name: unquote(value) for name, value in found.groupdict().items()}
    raise ValueError(f"{path} is not of the route {route}")


def _pattern(segment: str) -> str:
    first, *pieces = re.split(r"\{(\w+)(?::([^}]*))?\}", segment)
    named = zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)
    places = (f"(?P<{name}>{form or '[^/]+?'}){re.escape(literal)}" for name, form, literal in named)
    return f"/{re.escape(first)}{''.join(places)}"


def steps(plan: Plan, renderer: Renderer) -> Iterator[Step]:
    """The answer as bytes and what to do between them, made as it is consumed.

    What stands before the first block (a cut, a stall, a pause) happens before anything is said.
    """
    return shaped(_said(plan, renderer), plan.faults)


def _said(plan: Plan, renderer: Renderer) -> Iterator[Step]:
    started = False
    for op in plan.ops:
        if isinstance(op, Control):
            yield op
            if isinstance(op, Cut | Stall | Close):
                return
            continue
        if not started and not isinstance(op, _WORDLESS):
            started = True
            yield renderer.start()
        if isinstance(op, Flooded):
            yield from (renderer.grew(op.block, op.piece) for _ in range(op.times))
            continue
        yield _frame(op, renderer)
        if isinstance(op, Fail) or (isinstance(op, Raw) and op.last):
            return
    if not started:
        yield renderer.start()
    yield renderer.end()


def _frame(op: Op, renderer: Renderer) -> bytes:
    match op:
        case Grew(block, piece):
            return renderer.grew(block, piece)
        case Opened(block):
            return renderer.opened(block)
        case Closed(block):
            return renderer.closed(block)
        case Fail():
            return renderer.failed(op)
        case Bytes(data):
            return data
        case Begin():
            return b""  # to write anything sends the headers
        case Raw(text):
            return b"data: %b\n\n" % text.encode()
    return renderer.keep_alive


def event(name: str, data: Json) -> bytes:
    """A Server-Sent Event with a name."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), codec.encode(data))


def text_of(content: Any) -> str:
    """The text of a message's content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content or () if isinstance(part.get("text"), str))


def sign(text: str) -> str:
    """A signature of `text`: opaque to whoever receives it, checkable when it comes back."""
    return base64.b64encode(sha512(b"scripted upstream/" + text.encode()).digest()).decode()


def seal(text: str) -> str:
    """`text` as encrypted content: carries what it seals, as the vendors' do (though anyone could read this one)."""
    return base64.b64encode(text.encode()).decode() + "." + sign(text)


def is_sealed(data: str) -> bool:
    """Did `seal` make exactly this?"""
    text, _, signature = data.partition(".")
    try:
        return sign(base64.b64decode(text, validate=True).decode()) == signature
    except ValueError:
        return False
