"""What the soak takes for a leak."""

from collections.abc import Sequence

import pytest

from tests.soak.judge import Sample, leaks, slope


def rests(
    memory: Sequence[float], tasks: Sequence[int] = (5,), sockets: Sequence[int] = (7,), files: Sequence[int] = (9,)
) -> list[Sample]:
    """A sample for each, a minute apart; the last of the other counts stays."""

    def count(counts: Sequence[int], at: int) -> int:
        return counts[min(at, len(counts) - 1)]

    return [
        Sample(at=60 * at, megabytes=mb, tasks=count(tasks, at), sockets=count(sockets, at), files=count(files, at))
        for at, mb in enumerate(memory)
    ]


@pytest.mark.parametrize(
    ("samples", "found"),
    [
        (rests([]), []),
        (rests([100]), []),
        (rests([100, 200, 300]), []),
        (rests([100, 150, 160, 165, 165, 164]), []),
        (rests([100, 110, 120, 130, 140, 150]), ["memory: 125 MB in the second third, 145 MB in the last"]),
        (rests([1000, 1000, 1000, 1040, 1050, 1060]), []),
        (rests([100] * 3, tasks=[5, 9, 30]), ["tasks: 5 at the first rest, 30 at the last"]),
        (rests([100] * 3, tasks=[5, 50, 6]), []),
        (rests([100] * 3, sockets=[7, 16]), ["sockets: 7 at the first rest, 16 at the last"]),
        (rests([100] * 3, files=[9, 18]), ["files: 9 at the first rest, 18 at the last"]),
    ],
)
def test_what_grows_from_rest_to_rest_is_a_leak(samples: list[Sample], found: list[str]):
    """Memory that settles is none, nor is what comes and goes."""
    assert leaks(samples) == found


def test_the_slope_of_memory_is_that_of_a_warm_server():
    """In MB per hour, whatever it took at first."""
    assert slope(rests([100, 150, 200, 201, 202, 203, 204, 205, 206])) == pytest.approx(60)
    assert slope(rests([100])) == 0
