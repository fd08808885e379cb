"""Is it a leak? Samples of a server at rest, after each wave of work, and what must not grow. Pure."""

from collections.abc import Sequence
from statistics import linear_regression, mean

from msgspec import Struct

SLACK = 8  # tasks, sockets or files that may come and go at any moment
GROWTH = 0.10  # of the memory, and at least:
GROWTH_MB = 16.0


class Sample(Struct, frozen=True, kw_only=True):
    """What a process has of each at one moment (`at`, in seconds): resident memory, and open files of all kinds."""

    at: float
    megabytes: float
    tasks: int
    sockets: int
    files: int


def leaks(rests: Sequence[Sample]) -> list[str]:
    """What grew, in sentences. The first rest is what a server that has worked once needs.

    Memory settles in the first third; the last third is held against the second.
    """
    found = []
    if len(rests) > 1:
        first, last = rests[0], rests[-1]
        for name in ("tasks", "sockets", "files"):
            before, after = getattr(first, name), getattr(last, name)
            if after > before + SLACK:
                found.append(f"{name}: {before} at the first rest, {after} at the last")
    third = _warm_up(rests)
    if third > 1:  # fewer say nothing of memory
        middle = mean(rest.megabytes for rest in rests[third : 2 * third])
        end = mean(rest.megabytes for rest in rests[-third:])
        if end > middle + max(GROWTH_MB, GROWTH * middle):
            found.append(f"memory: {middle:.0f} MB in the second third, {end:.0f} MB in the last")
    return found


def slope(rests: Sequence[Sample]) -> float:
    """MB per hour that memory grows by once it has settled; 0 where there are too few samples to tell."""
    settled = rests[_warm_up(rests) :]
    if len(settled) < 2:
        return 0.0
    return 3600 * linear_regression([rest.at for rest in settled], [rest.megabytes for rest in settled]).slope


def _warm_up(rests: Sequence[Sample]) -> int:
    """How many of the first say nothing of memory."""
    return len(rests) // 3
