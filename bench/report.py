"""What was measured, as a table: the figure, the bare passthrough's in the same run, their ratio, and the goal."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table


class Figure(NamedTuple):
    """One line of the table. `goal` limits the ratio where there is a `bare` figure and `of_ratio` says so."""

    scenario: str
    what: str
    unit: str
    value: float
    bare: float | None = None
    goal: float | None = None
    of_ratio: bool = False
    at_least: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times the bare passthrough's figure this is."""
        return self.value / self.bare if self.bare else None

    @property
    def met(self) -> bool | None:
        """Is the goal reached? None where there is none."""
        judged = self.ratio if self.of_ratio else self.value
        if self.goal is None or judged is None:
            return None
        return judged >= self.goal if self.at_least else judged <= self.goal


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    sign = "≥" if figure.at_least else "≤"
    return f"{sign} {_number(figure.goal)}{'x' if figure.of_ratio else ''}"


def show(figures: Sequence[Figure]) -> None:
    """Print the table to stdout."""
    table = Table(title="Tailrace beside a bare aiohttp passthrough (medians)", title_justify="left")
    for name in ("scenario", "figure", "unit"):
        table.add_column(name)
    for name in ("tailrace", "passthrough", "ratio", "goal", ""):
        table.add_column(name, justify="right")
    last = ""
    for figure in figures:
        table.add_row(
            figure.scenario if figure.scenario != last else "",
            figure.what,
            figure.unit,
            _number(figure.value),
            _number(figure.bare),
            f"{figure.ratio:.2f}x" if figure.ratio is not None else "",
            _goal(figure),
            {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[figure.met],
        )
        last = figure.scenario
    Console(width=120).print(table)
