"""Is a stream legal? What a rule is, what breaks it, and how a stream of bytes is held against a table of them.

A dialect's rules stand in one table (`RULES` of its `lint.py`), each with a name, what it demands and the clause it
comes from. A rule looks at one event in the light of what came before it; the stream's state, which the dialect keeps,
takes the event in afterwards.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from tailrace.dialects.framing import EMPTY, OPEN_BODY, WRONG_TYPE, Frame, FrameReader, Framing

Event = dict[str, Any]


class Violation(NamedTuple):
    """A rule that is broken, and where: `frame` and `line` count from 1 (0: the stream as a whole)."""

    rule: str
    message: str
    frame: int = 0
    line: int = 0

    @property
    def place(self) -> str:
        """Where, in words; "" for the stream as a whole."""
        return f"frame {self.frame}, line {self.line}" if self.line else ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.rule, self.place, self.message) if part)


class State(Protocol):
    """What a dialect remembers of a stream."""

    @property
    def ended(self) -> bool:
        """Has the terminal event been?"""

    def take(self, event: Event) -> None:
        """Take in an event that could be read."""

    def skip(self, event: Event) -> None:
        """Pass over an event that could not: only what numbers it counts."""


S = TypeVar("S", bound=State)


@dataclass(frozen=True, slots=True)
class Rule(Generic[S]):
    """What a legal stream does, and the clause that says so.

    `check` yields what is wrong with an event, before the state takes it in; `at_end` what is wrong with the stream
    when it has ended. An event that breaks a `gate` is not looked at any further.
    """

    name: str
    demand: str
    clause: str
    check: Callable[[S, Event], Iterable[str]] | None = None
    at_end: Callable[[S], Iterable[str]] | None = None
    gate: bool = False


@dataclass(frozen=True, slots=True)
class Ruleset(Generic[S]):
    """A dialect's rules: of its framing, and of its events."""

    dialect: str
    framing: Framing
    rules: tuple[Rule[S], ...]
    state: Callable[[], S]

    def table(self) -> list[tuple[str, str, str]]:
        """Every rule: name, demand, clause."""
        framing = [(rule.name, rule.demand, rule.clause) for rule in self.framing.rules]
        return framing + [(rule.name, rule.demand, rule.clause) for rule in self.rules]


class Linter(Generic[S]):
    """Takes a stream's bytes, split anywhere, and says what is wrong with it.

    Server-sent events, or JSON lines (what begins with `{`: a WebSocket's messages, say), of which the framing is not
    judged. `endpoint`: the stream is the answer of an endpoint of this protocol; otherwise it may carry a cursor of our
    own (contract §4).
    """

    def __init__(self, ruleset: Ruleset[S], *, endpoint: bool = False) -> None:
        self._rules = ruleset.rules
        self._state = ruleset.state()
        self._reader = FrameReader()
        self._framing = ruleset.framing.begin(endpoint=endpoint)
        self._frames = 0

    @property
    def ended(self) -> bool:
        """Has the stream said that it is over?"""
        return self._framing.is_over(ended=self._state.ended)

    def content_type(self, value: str) -> Iterator[Violation]:
        """The header that the stream came with."""
        if value.partition(";")[0].strip().lower() != "text/event-stream":
            yield Violation(WRONG_TYPE.name, f"the content type is {value or 'not given'}")

    def feed(self, data: bytes) -> list[Violation]:
        """The violations that these bytes show."""
        return [violation for frame in self._reader.feed(data) for violation in self._frame(frame)]

    def close(self, *, is_open: bool = False) -> list[Violation]:
        """The violations that the end of the bytes shows; `is_open`: no more came, but the body did not end."""
        found = [violation for frame in self._reader.close() for violation in self._frame(frame)]
        if not self._frames:
            return [*found, Violation(EMPTY.name, "no event at all")]
        if is_open:
            found.append(Violation(OPEN_BODY.name, "the stream is over, and the body goes on"))
        if self._reader.is_framed:
            found += [Violation(rule, message) for rule, message in self._framing.at_end()]
        ends = [(rule.name, rule.at_end(self._state)) for rule in self._rules if rule.at_end]
        return found + [Violation(name, message) for name, messages in ends for message in messages]

    def _frame(self, frame: Frame) -> Iterator[Violation]:
        self._frames += frame.is_event
        broken = list(self._framing.see(frame)) if self._reader.is_framed else list(self._framing.json(frame))
        if frame.value is not None:
            broken += self._event(frame.value)
        return (Violation(rule, message, self._frames, frame.line) for rule, message in broken)

    def _event(self, event: Event) -> Iterator[tuple[str, str]]:
        for rule in self._rules:
            messages = list(rule.check(self._state, event)) if rule.check else []
            yield from ((rule.name, message) for message in messages)
            if messages and rule.gate:
                self._state.skip(event)
                return
        self._state.take(event)


# --- shapes: which fields a value has, and of what kind -----------------------------------------------------------

# A type, several, one of some words, a list of one shape, or fields by name (a name with `?` may be absent).
Shape = type | tuple[type, ...] | frozenset[str] | list[Any] | dict[str, Any]
NUMBER = (int, float)
NoneType = type(None)


def misfits(value: Any, shape: Shape, path: str = "") -> Iterator[str]:
    """What keeps `value` from having this shape, each with the path of the field at fault."""
    if isinstance(shape, dict):
        yield from _misfit_fields(value, shape, path)
    elif isinstance(shape, list):
        if isinstance(value, list):
            for index, one in enumerate(value):
                yield from misfits(one, shape[0], f"{path}[{index}]")
        else:
            yield _misfit(path, "a list", value)
    elif isinstance(shape, frozenset):
        if not isinstance(value, str) or value not in shape:
            yield _misfit(path, f"one of {', '.join(sorted(shape))}", value)
    elif not isinstance(value, shape) or (isinstance(value, bool) and not _is_boolean(shape)):
        kinds = shape if isinstance(shape, tuple) else (shape,)
        yield _misfit(path, " or ".join(_KINDS.get(kind, kind.__name__) for kind in kinds), value)


_KINDS: dict[type, str] = {
    str: "a string", int: "an integer", float: "a number", bool: "a boolean", dict: "an object", list: "a list",
    NoneType: "null",
}  # fmt: skip


def _is_boolean(shape: type | tuple[type, ...]) -> bool:
    return bool in shape if isinstance(shape, tuple) else shape in {bool, object}


def _misfit_fields(value: Any, shape: dict[str, Any], path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _misfit(path, "an object", value)
        return
    for key, inner in shape.items():
        name = key.removesuffix("?")
        where = f"{path}.{name}" if path else name
        if name in value:
            yield from misfits(value[name], inner, where)
        elif name == key:
            yield f"`{where}` is missing"


def _misfit(path: str, wanted: str, value: Any) -> str:
    found = repr(value) if type(value) in {str, int, float} else _KINDS.get(type(value), "something else")
    return f"`{path}` is {found}, not {wanted}"


def number_of(value: Any) -> int | None:
    """`value` where it is an integer."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def shortened(text: str) -> str:
    """What a message quotes of a text: its end, where two long texts usually differ."""
    return repr(text) if len(text) <= 40 else f"…{text[-39:]!r} ({len(text)} characters)"
