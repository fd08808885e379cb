"""Which runs of a thread lead to another one, where messages were edited and asked again. Pure."""

from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from tailrace.schema.response import Response


def branch(runs: Sequence[Response], after: str | UnsetType | None = UNSET) -> list[Response]:
    """The runs that lead to `after`, itself the last: without it, to the newest; none for null.

    `runs` are a thread's, in the order they were made. Each goes on from the run that it names (`after_run_id`), else
    from the one made before it. Empty where `after` is not among them.
    """
    places = {run.id: place for place, run in enumerate(runs)}
    place = _before(after, len(runs), places)
    path: list[Response] = []
    while place is not None:
        path.append(runs[place])
        place = _before(runs[place].after_run_id, place, places)
    return path[::-1]


def _before(after: str | UnsetType | None, place: int, places: dict[str, int]) -> int | None:
    """The place of the run that the one at `place` goes on from: an earlier one always."""
    named = place - 1 if isinstance(after, UnsetType) else places.get(after or "", -1)
    return named if 0 <= named < place else None
