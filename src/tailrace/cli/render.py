"""A run in a terminal: Markdown as it streams, reasoning dimmed, tools and errors in a line each."""

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.markup import escape

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
from tailrace.schema.items import FunctionCallItem, OutputItem, ProviderItem
from tailrace.schema.response import Usage


class MarkdownStream:
    """Renders growing Markdown: finished blocks are printed for good, only the last one is redrawn."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._text = ""
        self._live: Live | None = None

    def add(self, text: str) -> None:
        """Grow by `text`."""
        if not self._console.is_terminal:
            self._console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
            return
        self._text += text
        cut = finished(self._text)
        if cut:
            self._stop()
            self._console.print(Markdown(self._text[:cut]))
            self._console.print()
            self._text = self._text[cut:]
        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=12, transient=True)
            self._live.start()
        self._live.update(Markdown(self._text))

    def end(self) -> None:
        """No more is to come."""
        self._stop()
        if self._text:
            self._console.print(Markdown(self._text))
        elif not self._console.is_terminal:
            self._console.print()
        self._text = ""

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def finished(text: str) -> int:
    """How much of a growing Markdown text is sure to stay as it is: up to the last blank line outside a code fence."""
    cut = position = 0
    fenced = False
    for line in text.splitlines(keepends=True):
        position += len(line)
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        elif not fenced and line == "\n":
            cut = position
    return cut


class RunView:
    """Shows a run's events as they come."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._kinds: dict[str, str] = {}
        self._markdown: MarkdownStream | None = None
        self.failed = False

    def show(self, event: Event) -> None:
        """Show one event."""
        match event.payload:
            case ItemStart() as start:
                self._kinds[start.item_id] = "user" if start.origin == "user" else start.item_type
            case ItemDelta(channel=None) as delta:
                self._grow(delta)
            case ItemDone(final_item=item):
                self._close()
                self._tool(item)
            case ItemError(error=error):
                self._close()
                self._line(f"✗ {error.code}: {error.message}", "red")
            case ItemCancelled(reason=reason):
                self._close()
                self._line(f"✗ cancelled: {reason or ''}", "yellow")
            case _:
                self._show_turn(event)

    def _show_turn(self, event: Event) -> None:
        match event.payload:
            case ResponseDone() as done:
                self._close()
                self._foot(done.finish_reason, done.usage)
            case ResponseError(error=error):
                self._fail(f"✗ {error.code}: {error.message}")
            case TurnAborted(reason=reason):
                self._fail(f"✗ aborted: {reason}")
            case _:
                pass

    def _grow(self, delta: ItemDelta) -> None:
        kind = self._kinds.get(delta.item_id)
        if kind == "message":
            self._markdown = self._markdown or MarkdownStream(self._console)
            self._markdown.add(delta.delta_content)
        elif kind == "reasoning" and self._console.is_terminal:
            self._console.print(f"[dim italic]{escape(delta.delta_content)}[/]", end="", highlight=False)

    def _close(self) -> None:
        if self._markdown is not None:
            self._markdown.end()
            self._markdown = None

    def _tool(self, item: OutputItem) -> None:
        if isinstance(item, FunctionCallItem):
            self._line(f"→ {item.name}({item.arguments})", "cyan")
        elif isinstance(item, ProviderItem):
            self._line(f"→ {item.provider_type}", "cyan")

    def _line(self, text: str, style: str) -> None:
        if self._console.is_terminal:
            self._console.print(text, style=style, markup=False, highlight=False)

    def _foot(self, reason: str, usage: Usage | None) -> None:
        tokens = f" · {usage.prompt_tokens} + {usage.completion_tokens} tokens" if usage else ""
        self._line(f"{reason}{tokens}", "dim")

    def _fail(self, text: str) -> None:
        self._close()
        self.failed = True
        Console(stderr=True).print(text, style="red", markup=False, highlight=False)
