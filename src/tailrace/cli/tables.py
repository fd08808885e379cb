"""Rows for people in a terminal, and for programs behind a pipe."""

import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from tailrace.cli.terminal import one_line


def show(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Print the fields named by `columns` (field: heading); a field whose name ends in `_at` is a time in ms.

    In a terminal a table; behind a pipe one line per row, tab-separated, without headings, nothing shortened.
    """
    cells = [[_cell(name, row.get(name)) for name in columns] for row in rows]
    if sys.stdout.isatty():
        _draw(cells, list(columns.values()))
    else:
        sys.stdout.writelines("\t".join(line) + "\n" for line in cells)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    return _time(value) if name.endswith("_at") else one_line(str(value))


def _time(ms: int) -> str:
    """ISO 8601, UTC, to the second."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _draw(cells: list[list[str]], headings: list[str]) -> None:
    from rich.console import Console  # rich costs as much time to import as the rest of the command
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for number, heading in enumerate(headings):
        table.add_column(heading, no_wrap=number == 0, overflow="fold")  # ids come first, and stay whole
    for line in cells:
        table.add_row(*(Text(cell) for cell in line))
    Console().print(table)
