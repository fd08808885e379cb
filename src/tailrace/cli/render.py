"""A run as it is shown: which of its events are seen, and how they look in a pipe. (markdown.py: in a terminal.)"""

import sys
from typing import Literal, Protocol

from tailrace.cli.terminal import one_line
from tailrace.schema.events import (
    Event,
    ItemCancelled,
    ItemDelta,
    ItemDone,
    ItemError,
    ItemStart,
    ResponseDone,
    ResponseError,
    TurnAborted,
)
from tailrace.schema.items import FunctionCallItem, MessageItem, OutputItem, ProviderItem, ReasoningItem
from tailrace.schema.response import FinishReason

Tone = Literal["cyan", "red", "yellow"]


class Screen(Protocol):
    """Where a run is shown."""

    def say(self, text: str) -> None:
        """Grow the answer."""

    def think(self, text: str) -> None:
        """Grow the reasoning."""

    def line(self, text: str, tone: Tone) -> None:
        """Say something in a line of its own."""

    def end(self) -> None:
        """What was growing is whole."""


class PlainText:
    """The answer's text and nothing else, to the byte: for pipes and files."""

    def __init__(self) -> None:
        self._open = False

    def say(self, text: str) -> None:
        """Write it at once."""
        sys.stdout.write(text)
        sys.stdout.flush()
        self._open = not text.endswith("\n")

    def think(self, text: str) -> None:
        """Not shown."""

    def line(self, text: str, tone: Tone) -> None:
        """Not shown."""

    def end(self) -> None:
        """Finish the line."""
        if self._open:
            self.say("\n")


class RunView:
    """Shows a run's events as they come.

    Then `failure` says why it failed (None: it did not), `finish` why it ended, and `summary` that and what it took.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._kinds: dict[str, str] = {}
        self._current: str | None = None
        self._seen: set[str] = set()
        self.failure: str | None = None
        self.finish: FinishReason | None = None
        self.summary = ""

    def show(self, event: Event) -> None:
        """Show one event."""
        match event.payload:
            case ItemStart() as start:
                self._kinds[start.item_id] = "user" if start.origin == "user" else start.item_type
                self._grow(start.item_id, start.initial_content or "")
            case ItemDelta(channel=None | "refusal") as delta:
                self._grow(delta.item_id, delta.delta_content)
            case ItemDone() as done:
                self._done(done.item_id, done.final_item)
            case ItemError(error=error):
                self._line(f"✗ {error.code}: {error.message}", "red")
            case ItemCancelled(reason=reason):
                self._line(f"✗ cancelled: {reason or 'no reason given'}", "yellow")
            case _:
                self._turn(event)

    def close(self) -> None:
        """Leave the terminal as it was, however the stream ended."""
        self._screen.end()

    def _turn(self, event: Event) -> None:
        match event.payload:
            case ResponseDone() as done:
                usage = done.usage
                tokens = f" · {usage.prompt_tokens} + {usage.completion_tokens} tokens" if usage else ""
                self.finish, self.summary = done.finish_reason, f"{done.finish_reason}{tokens}"
            case ResponseError(error=error):
                self.failure = f"{error.code}: {error.message}"
            case TurnAborted(reason=reason):
                self.failure = f"aborted: {reason}"
            case _:
                pass

    def _grow(self, item_id: str, text: str) -> None:
        kind = self._kinds.get(item_id)
        if not text or kind not in {"message", "reasoning"}:
            return
        if self._current != item_id:
            self._screen.end()
            self._current = item_id
        self._seen.add(item_id)
        if kind == "message":
            self._screen.say(text)
        else:
            self._screen.think(text)

    def _done(self, item_id: str, item: OutputItem) -> None:
        if isinstance(item, MessageItem | ReasoningItem):
            if item_id not in self._seen:  # it came whole
                self._grow(item_id, item.content)
            if self._current == item_id:
                self._screen.end()
                self._current = None
        elif isinstance(item, FunctionCallItem):
            self._line(f"→ {item.name}({item.arguments})", "cyan")
        elif isinstance(item, ProviderItem):
            self._line(f"→ {item.provider_type}", "cyan")

    def _line(self, text: str, tone: Tone) -> None:
        self._screen.end()
        self._current = None
        self._screen.line(one_line(text), tone)
