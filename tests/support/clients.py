"""Real clients as programs: how one is called, and how it ended."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple


class Ended(NamedTuple):
    """How a program ended and what it said."""

    code: int
    out: str
    err: str


Client = Callable[..., Awaitable[Ended]]
