"""Text with markup leaked into it, healed as it streams: what was thought is thought, what was a call is a call.

Only what may yet become a marker is held back, and a call until it is whole; text without markup passes as it came.
However the text is cut, the same comes out. What looked like a call and is none is text again: nothing is lost.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tailrace.adapters.markup import MARKUP, FoundCall, Markup


@dataclass(frozen=True, slots=True)
class Said:
    """Text."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """Reasoning."""

    text: str


Piece = Said | Thought | FoundCall


class Healer:
    """Takes a text piece by piece; `kinds` are rows of MARKUP."""

    def __init__(self, kinds: Sequence[str]) -> None:
        rows = [MARKUP[kind] for kind in kinds]
        self._kinds = {begin: row for row in rows for begin in row.blocks}
        self._ends = {begin: end for row in rows for begin, end in row.blocks.items()}
        self._markers = (*self._kinds, *(marker for row in rows for marker in row.noise))
        self._any = re.compile("|".join(map(re.escape, self._markers)))
        self._waiting = ""  # may become a marker
        self._block: tuple[str, Markup] | None = None  # the one we are in: how it began, and its kind
        self._held: list[str] = []  # of a block that may be a call
        self._is_after_marker = False  # blanks that only set markup apart are dropped

    def feed(self, text: str) -> Iterator[Piece]:
        """What this piece adds."""
        self._waiting += text
        at, marker = self._find()
        while marker:
            yield from self._pass(self._take(at))
            yield from self._turn(self._take(len(marker)))
            at, marker = self._find()
        yield from self._pass(self._take(at))

    def close(self) -> Iterator[Piece]:
        """The text has ended."""
        yield from self._pass(self._take(len(self._waiting)))
        if self._block is not None:
            yield from self._settle(*self._block, end="")

    def _take(self, count: int) -> str:
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def _find(self) -> tuple[int, str]:
        """Where the next marker is, and which; without one, where what must wait begins."""
        markers = self._markers
        if self._block is None:
            found = self._any.search(self._waiting)
            if found:
                return found.start(), found[0]
        else:
            end = self._ends[self._block[0]]
            if end in self._waiting:
                return self._waiting.index(end), end
            markers = (end,)
        last = self._waiting.rfind("<")  # with which every marker begins, and which stands in none again
        waits = last >= 0 and any(marker.startswith(self._waiting[last:]) for marker in markers)
        return (last if waits else len(self._waiting)), ""

    def _turn(self, marker: str) -> Iterator[Piece]:
        """At a marker: into a block, or out of it."""
        self._is_after_marker = True
        if self._block is not None:
            yield from self._settle(*self._block, end=marker)
        elif marker in self._kinds:
            self._block = (marker, self._kinds[marker])

    def _pass(self, text: str) -> Iterator[Piece]:
        """Text between markers."""
        if self._block is not None and self._block[1].calls is not None:
            self._held.append(text)
            return
        if self._is_after_marker:
            text = text.lstrip()
            self._is_after_marker = not text
        if text:
            yield Said(text) if self._block is None else Thought(text)

    def _settle(self, begin: str, kind: Markup, *, end: str) -> Iterator[Piece]:
        """A block is over."""
        self._block = None
        if kind.calls is None:
            return
        block = "".join((begin, *self._held, end))
        self._held.clear()
        calls = kind.calls(block)
        self._is_after_marker = bool(calls)
        if calls:
            yield from calls
        else:
            yield Said(block)
