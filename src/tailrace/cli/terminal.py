"""What is said beside a command's output: one line each, on stderr, coloured where a terminal shows colours."""

import os
import re
import sys
from typing import TextIO

import typer

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line feed


def printable(text: str) -> str:
    """`text` without control characters: what a model or a server says must not steer the terminal."""
    return _CONTROL.sub("", text)


def one_line(text: str) -> str:
    """`text` in one line, however many it had."""
    return " ".join(printable(text).split())


def coloured(stream: TextIO) -> bool:
    """May colours be written there? Not into a pipe or file, nor where NO_COLOR says so (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def styled(text: str, colour: str | None = None, *, bold: bool = False, dim: bool = False) -> str:
    """`text` in a colour for stderr, or as it is where there are none."""
    return typer.style(text, fg=colour, bold=bold or None, dim=dim or None) if coloured(sys.stderr) else text


def note(text: str) -> None:
    """Something worth knowing that is not the command's output."""
    sys.stderr.write(styled(one_line(text), dim=True) + "\n")
    sys.stderr.flush()


def complain(text: str) -> None:
    """Why the command failed."""
    sys.stderr.write(f"{styled('tailrace:', 'red')} {one_line(text)}\n")
    sys.stderr.flush()
