"""Faults of the way itself: the bytes of an answer, as they were to be sent, cut or slowed down as a script says."""

from collections.abc import Iterator

from tailrace.testing.moves import Control, Cut, CutAt, Drip, Pause


def shaped(said: Iterator[bytes | Control], faults: tuple[CutAt | Drip, ...]) -> Iterator[bytes | Control]:
    """`said` under these faults, the first one innermost."""
    for fault in faults:
        said = _cut(said, fault.after) if isinstance(fault, CutAt) else _dripped(said, fault)
    return said


def _cut(said: Iterator[bytes | Control], after: int) -> Iterator[bytes | Control]:
    for step in said:
        if isinstance(step, bytes):
            if len(step) >= after:
                yield step[:after]
                yield Cut()
                return
            after -= len(step)
        yield step


def _dripped(said: Iterator[bytes | Control], drip: Drip) -> Iterator[bytes | Control]:
    for step in said:
        if not isinstance(step, bytes):
            yield step
            continue
        for at in range(0, len(step), drip.size):
            yield Pause(drip.seconds)
            yield step[at : at + drip.size]
