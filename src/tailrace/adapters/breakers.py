"""Streams that run away, and what stops them. Pure; the same on every wire (adapters/collect.py, growing.py).

A model in a loop sends blanks for arguments, or the same words over and over, for as long as it is let. Each breaker
raises a ProviderError whose details say which one it was (`breaker`) and what it saw.
"""

import re
from collections import Counter, deque
from dataclasses import dataclass

from tailrace.schema.errors import ProviderError

MOST_BLANK_EVENTS = 256
MOST_BLANK_CHARS = 16_384
_BLANKS = " \t\n\r"  # of JSON (RFC 8259 §2)

MOST_REPEATS = 180
WINDOW = 250  # characters: the longest unit whose repetition is looked for
_SHORT = 12  # a shorter unit is what rules, padding and tables of zeros are made of, too:
_LEAST_SHORT_CHARS = 1024 * 1024  # it has to go on for much longer
_STRIDE = 256  # characters between two looks
_SHOWN = 80

MOST_ALIKE = 16  # segments in a row, each nearly the one before it:
ALIKE = 0.8  # so much of their trigrams they have in common (Jaccard)
MOST_STALE = 8  # segments in a row that together say hardly anything new:
NEW = 0.2  # so much of their trigrams was not said before them
_REMEMBERED = 256  # segments
_LONGEST = 1000  # characters of a segment
_BREAK = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"\w+")


@dataclass(slots=True)
class _Run:
    """Pieces of arguments in a row that were nothing but blanks."""

    events: int = 0
    chars: int = 0

    def grow(self, chars: int) -> bool:
        """One more; is it too much now?"""
        self.events += 1
        self.chars += chars
        return self.events >= MOST_BLANK_EVENTS or self.chars >= MOST_BLANK_CHARS


class BlankArguments:
    """Counts pieces of arguments that are nothing but JSON's blanks, or nothing at all, in a row: for each call by
    itself, and for the answer, so that calls which take turns are seen through as well. A call's end changes nothing.
    """

    __slots__ = ("_answer", "_calls")

    def __init__(self) -> None:
        self._answer = _Run()
        self._calls: dict[str, _Run] = {}

    def take(self, call: str, piece: str) -> None:
        """A piece of the arguments of `call`. Raises ProviderError (malformed_call)."""
        if piece.strip(_BLANKS):
            if self._calls:
                self._calls.pop(call, None)
                self._answer = _Run()
            return
        own = self._calls.setdefault(call, _Run())
        for run in (own, self._answer):
            if run.grow(len(piece)):
                raise ProviderError(
                    "malformed_call",
                    f"the arguments of a call are blank without end: {run.events} pieces, {run.chars} characters",
                    details={"breaker": "whitespace", "events": run.events, "chars": run.chars, "item": call},
                )


class Repetition:
    """Watches one text for a tail that is the same unit over and over. It looks once every few hundred characters, so
    that a delta costs next to nothing, and trips a little late rather than early."""

    __slots__ = ("_fresh", "_item", "_run", "_size", "_tail", "_unit")

    def __init__(self, item: str) -> None:
        self._item = item
        self._fresh: list[str] = []
        self._size = 0
        self._tail = ""
        self._unit = ""  # the end of the text, as long as its period
        self._run = 0  # characters at the end of the text that have this period

    def take(self, piece: str) -> None:
        """The text grows. Raises ProviderError (repetition)."""
        self._fresh.append(piece)
        self._size += len(piece)
        if self._size >= _STRIDE:
            self._look()

    def _look(self) -> None:
        fresh = "".join(self._fresh)
        self._fresh.clear()
        self._size = 0
        self._tail = (self._tail + fresh)[-2 * WINDOW :]
        period = len(self._unit)
        if period and (self._unit * (len(fresh) // period + 1)).startswith(fresh):
            self._run += len(fresh)
            self._unit = self._tail[-period:]
        else:
            self._find()
        period = len(self._unit)
        is_long = period >= _SHORT or self._run >= _LEAST_SHORT_CHARS
        if period and is_long and self._run >= MOST_REPEATS * period:
            repeats = self._run // period
            raise ProviderError(
                "repetition",
                f"the answer says the same over and over: {repeats} times {self._unit[:_SHOWN]!r}",
                details={"breaker": "repetition", "repeats": repeats, "chars": self._run, "item": self._item},
            )

    def _find(self) -> None:
        """The shortest period of the last WINDOW characters, if it is no longer than they are."""
        end, before = self._tail[-WINDOW:], len(self._tail) - WINDOW
        at = self._tail.rfind(end, 0, len(self._tail) - 1) if before > 0 else -1
        self._unit = self._tail[at - before :] if at >= 0 else ""
        self._run = WINDOW + before - at if at >= 0 else 0


Trigrams = frozenset[tuple[str, ...]]


class Circling(Repetition):
    """Watches thoughts also for what is not the same but nearly, sentence by sentence or line by line: weak models turn
    one over and over. Tables and code are that, too, and good thoughts may be: it is there for providers whose quirks
    ask for it. Segments of less than three words are passed over."""

    __slots__ = ("_ahead", "_alike", "_known", "_segments")

    def __init__(self, item: str) -> None:
        super().__init__(item)
        self._ahead = ""
        self._segments: deque[Trigrams] = deque()
        self._known: Counter[tuple[str, ...]] = Counter()  # in how many of the remembered segments
        self._alike = 1

    def take(self, piece: str) -> None:
        """See Repetition."""
        super().take(piece)
        *segments, self._ahead = _BREAK.split(self._ahead + piece)
        if len(self._ahead) > _LONGEST:
            segments.append(self._ahead)
            self._ahead = ""
        for segment in segments:
            self._weigh(segment)

    def _weigh(self, segment: str) -> None:
        words = _WORD.findall(segment.lower())
        said: Trigrams = frozenset(zip(words, words[1:], words[2:], strict=False))
        if not said:
            return
        before = self._segments[-1] if self._segments else frozenset()
        self._alike = self._alike + 1 if len(said & before) >= ALIKE * len(said | before) else 1
        self._remember(said)
        if self._alike >= MOST_ALIKE:
            self._break_off("each much like the one before", self._alike, segment)
        recent = list(self._segments)[-MOST_STALE:]
        if len(self._segments) > MOST_STALE and _novelty(recent, self._known) <= NEW:
            self._break_off("with hardly anything new", MOST_STALE, segment)

    def _remember(self, said: Trigrams) -> None:
        self._segments.append(said)
        self._known.update(said)
        if len(self._segments) > _REMEMBERED:
            for trigram in self._segments.popleft():
                self._known[trigram] -= 1
                if not self._known[trigram]:
                    del self._known[trigram]

    def _break_off(self, how: str, segments: int, last: str) -> None:
        raise ProviderError(
            "repetition",
            f"the thoughts go round in circles: {segments} sentences in a row {how}: {last.strip()[:_SHOWN]!r}",
            details={"breaker": "similarity", "segments": segments, "item": self._item},
        )


def _novelty(recent: list[Trigrams], known: Counter[tuple[str, ...]]) -> float:
    """The share of what `recent` segments say that no segment before them says."""
    among = Counter(trigram for said in recent for trigram in said)
    return sum(known[trigram] == count for trigram, count in among.items()) / len(among)
