"""What the soak takes for a leak."""

from collections.abc import Sequence

import pytest

from tests.soak.judge import Sample, leaks


def rests(memory: Sequence[float], tasks: Sequence[int] = (5,), sockets: Sequence[int] = (7,)) -> list[Sample]:
    """A sample for each; the last task and socket count stays."""
    return [
        Sample(megabytes=mb, tasks=tasks[min(at, len(tasks) - 1)], sockets=sockets[min(at, len(sockets) - 1)])
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
    ],
)
def test_what_grows_from_rest_to_rest_is_a_leak(samples: list[Sample], found: list[str]):
    """Memory that settles is none, nor is what comes and goes."""
    assert leaks(samples) == found
