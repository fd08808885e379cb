"""What can go wrong on a provider's side, as scripts; and what is to come of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from time import time
from typing import Any

from tailrace.schema import codec
from tailrace.schema.errors import Fault
from tailrace.testing.moves import (
    Begin,
    Bytes,
    Call,
    Cut,
    CutAt,
    Drip,
    Fail,
    Flood,
    HttpError,
    Interleaved,
    KeepAlive,
    Move,
    Pause,
    Stall,
    Text,
)
from tailrace.testing.upstream import ScriptedUpstream
from tailrace.testing.wires.base import ScriptedWire
from tests.support.server import providers

T = Fault.TRANSIENT
LIMITED = T | Fault.RATE_LIMIT
TIMEOUT, CUT, LOST = T | Fault.TIMEOUT, T | Fault.INTERRUPTED, T
LONG = 60  # seconds: more than any budget of these tests
COMPLETE = None  # it does no harm


@dataclass(frozen=True)
class Trouble:
    """A fault: the moves that make it, and the kinds of failure that it may end a run with (COMPLETE among them where
    it may do no harm).

    `is_head`: it comes in place of an answer, so that text and calls can only have come in an earlier step. `watchdog`
    and `breaker`: what the error's details must name. `hint`: the Retry-After that they must hold. `is_hopeless`: is
    another try not to be made, though it might go well?
    """

    name: str
    moves: tuple[Move, ...]
    ends: tuple[Fault | None, ...]
    is_head: bool = False
    watchdog: str = ""
    breaker: str = ""
    hint: bool = False
    is_hopeless: bool = False

    @property
    def is_silent(self) -> bool:
        """Is it for a watchdog to notice?"""
        return bool(self.watchdog)

    @property
    def is_cut(self) -> bool:
        """Does the upstream itself drop the connection?"""
        return any(isinstance(move, Cut | CutAt) for move in self.moves)


def head(name: str, move: Move, *ends: Fault | None, hint: bool = False) -> Trouble:
    return Trouble(name, (move,), ends, is_head=True, hint=hint, is_hopeless=hint)


def body(name: str, moves: Sequence[Move], *ends: Fault | None, watchdog: str = "", breaker: str = "") -> Trouble:
    return Trouble(name, tuple(moves), ends, watchdog=watchdog, breaker=breaker)


def told(**error: object) -> bytes:
    return codec.encode({"error": {"message": "Slow down.", **error}})


PAGE = b"<!doctype html><html><title>502 Bad Gateway</title><body>nginx</body></html>"
HTML, PLAIN = {"Content-Type": "text/html"}, {"Content-Type": "text/plain"}
HINTS = {
    "Retry-After in seconds": HttpError(429, headers={"Retry-After": f"{LONG}"}),
    "Retry-After as a date": HttpError(429, headers={"Retry-After": formatdate(time() + 10 * LONG, usegmt=True)}),
    "retry-after-ms": HttpError(429, headers={"retry-after-ms": f"{LONG * 1000}"}),
    "x-ratelimit-reset-after": HttpError(429, headers={"x-ratelimit-reset-after": f"{LONG}"}),
    "x-ratelimit-reset-ms": HttpError(429, headers={"x-ratelimit-reset-ms": f"{LONG * 1000}"}),
    "x-ratelimit-reset": HttpError(429, headers={"x-ratelimit-reset": f"{time() + 10 * LONG:.0f}"}),
    "a sentence": HttpError(429, body=told(message="Rate limited. Please try again in 1m0.5s.")),
    "retryDelay": HttpError(429, body=told(details=[{"retryDelay": f"{LONG}s"}])),
    "resets_in_seconds": HttpError(429, body=told(resets_in_seconds=LONG)),
}
CALLS = (Call("weather", '{"city":"Oslo"}', call_id="i1"), Call("weather", '{"city":"Lima"}', call_id="i2"))

TROUBLES: list[Trouble] = [
    Trouble("stall before headers", (Stall(),), (TIMEOUT,), is_head=True, watchdog="response"),
    Trouble("stall after headers", (Begin(), Stall()), (TIMEOUT,), is_head=True, watchdog="first_event"),
    body("stall", [Stall()], TIMEOUT, watchdog="idle"),
    body("stall in mid-item", [Text("half"), Stall()], TIMEOUT, watchdog="idle"),
    body("keep-alives only", [Begin(), *[KeepAlive(), Pause(0.05)] * 30], TIMEOUT, COMPLETE, watchdog="idle"),
    head("reset before headers", Cut(), LOST),
    head("cut at the first byte", CutAt(1), CUT),
    head("cut at byte 40", CutAt(40), CUT),
    body("cut between frames", [Cut()], CUT, LOST),
    body("cut in mid-item", [Text("half"), Cut()], CUT),
    body("garbage frame", [Bytes(b"garbage")], COMPLETE, CUT, Fault.NONE),
    body("error in mid-stream", [Fail("overloaded")], T),
    head("wrong content type", HttpError(200, body=b"upstream connect error", headers=PLAIN), CUT, Fault.NONE),
    head("empty body", HttpError(200, body=b"", headers=PLAIN), CUT, Fault.NONE),
    head("HTML page", HttpError(200, body=PAGE, headers=HTML), Fault.NONE),
    head("HTML error page", HttpError(502, body=PAGE, headers=HTML), T),
    head("overloaded", HttpError(503), T),
    head("refused key", HttpError(401), Fault.AUTH),
    head("bad request", HttpError(400, message="No."), Fault.PAYLOAD_REJECTED),
    head("connection limit", HttpError(429, body=told(code="websocket_connection_limit_reached")), LIMITED),
    *(head(f"429 with {form}", move, LIMITED, hint=True) for form, move in HINTS.items()),
    body("slow drip", [Drip(200, 0.002), Text("slowly")], COMPLETE),
    body("100 MB of whitespace", [Flood(name="weather")], T | Fault.MALFORMED_CALL, COMPLETE, breaker="whitespace"),
    body("100 MB of blank text", [Flood()], T | Fault.REPETITION, breaker="repetition"),
    body("100 MB of blank lines", [*[Bytes(b"\n" * 65536)] * 50, Stall()], TIMEOUT, Fault.NONE, watchdog="idle"),
    body("interleaved items", [Interleaved(CALLS)], COMPLETE),
    body("out-of-order indexes", [Interleaved(CALLS, backwards=True)], COMPLETE),
]  # fmt: skip


PLACES = ("before output", "after text", "after a tool call")
SAID: dict[str, list[Move]] = {
    "before output": [],
    "after text": [Text("So far, so good. ")],
    "after a tool call": [Call("weather", '{"city":"Paris"}', call_id="c1")],
}
WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}


def garbage(wire: ScriptedWire) -> bytes:
    """A frame of the wire's framing whose content is none."""
    if wire.content_type.startswith("text/event-stream"):
        return b'data: {"broken\n\n'
    if "json" in wire.content_type:
        return b'{"broken\n'
    return b"\x00\x00\x00\x20\x00\x00\x00\x00not the right sums"  # a binary frame with checksums


def steps_of(trouble: Trouble, place: str, wire: ScriptedWire) -> list[Sequence[Move]]:
    """What the upstream says in a run's first step, and in its second, where the trouble comes only then."""
    fault = [Bytes(garbage(wire)) if move == Bytes(b"garbage") else move for move in trouble.moves]
    said = SAID[place]
    if not trouble.is_head:
        return [[*said, *fault]]
    if place == "before output":
        return [fault]
    return [[*said, Call("weather", "{}", call_id="c0")] if place == "after text" else said, fault]


def table(wire: ScriptedWire, upstream: ScriptedUpstream) -> dict[str, Any]:
    """The provider of this wire, asked without a key."""
    own = next(each for each in providers(upstream).values() if each["wire"] == wire.name)
    return {**own, "auth": "bearer", "patience": {}}  # nor is it waited for as one of its name would be
