"""A run in a terminal: Markdown as it streams, reasoning dimmed, tools and errors in a line each."""

import re

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.text import Text

from tailrace.cli.render import Tone
from tailrace.cli.terminal import printable

REFRESHES_PER_S = 12
_FENCE = re.compile(r"\s*(`{3,}|~{3,})(.*)")


class Blocks:
    """Finds how much of a growing Markdown text is sure to stay as it looks.

    That is all before a line that is not indented and follows a blank one, outside code fences (CommonMark §4.5). Every
    line is looked at once.
    """

    def __init__(self) -> None:
        self._partial = ""
        self._length = 0  # of the whole lines since the last cut
        self._blank = False
        self._fence = ""

    def grow(self, text: str) -> int:
        """How many characters since the last cut are final now; 0 where there is no new cut."""
        *lines, self._partial = (self._partial + text).split("\n")
        cut = 0
        for line in lines:
            if self._blank and not self._fence and line and not line[0].isspace():
                cut = self._length
            self._length += len(line) + 1
            self._read(line)
        self._length -= cut
        return cut

    def _read(self, line: str) -> None:
        fence = _FENCE.fullmatch(line)
        if fence and not self._fence:
            self._fence = fence[1]
        elif fence and fence[1].startswith(self._fence) and not fence[2].strip():
            self._fence = ""
        self._blank = not line.strip()


class _Tail:
    """The last lines of growing Markdown, as many as the terminal is high."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(Markdown(self._text), options, pad=False)
        for line in lines[-max(1, console.size.height - 1) :]:
            yield from line
            yield Segment.line()


class MarkdownScreen:
    """Finished blocks are printed for good; only the one that grows is redrawn, a few times a second."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._text = ""
        self._blocks = Blocks()
        self._live: Live | None = None
        self._thinking = False

    def say(self, text: str) -> None:
        """Grow the answer."""
        text = printable(text)
        self._text += text
        cut = self._blocks.grow(text)
        if cut:
            self._freeze(cut)
            self._console.print()
        if self._live is None:
            self._live = Live(
                get_renderable=lambda: _Tail(self._text),
                console=self._console,
                refresh_per_second=REFRESHES_PER_S,
                transient=True,
            )
            self._live.start()

    def think(self, text: str) -> None:
        """Grow the reasoning."""
        self._console.print(Text(printable(text), style="dim italic"), end="", soft_wrap=True)
        self._thinking = True

    def line(self, text: str, tone: Tone) -> None:
        """Say something in a line of its own."""
        self._console.print(Text(text, style=tone), soft_wrap=True)

    def end(self) -> None:
        """What was growing is whole."""
        self._freeze(len(self._text))
        self._blocks = Blocks()
        if self._thinking:
            self._console.print("\n")
            self._thinking = False

    def _freeze(self, cut: int) -> None:
        """Print the first `cut` characters for good."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._text[:cut].strip():
            self._console.print(Markdown(self._text[:cut]))
        self._text = self._text[cut:]
