"""The folds that are in memory: one for each run, so that who writes a run and who projects it fold each event once."""

from weakref import WeakValueDictionary

from tailrace.fold.reducer import Reducer


class Folds:
    """The folds of runs, each there for as long as somebody holds it.

    They may be shared because every event is the same for all, and one that was folded already changes nothing: a fold
    is never behind what its holder has seen, and may be ahead of it. Each holder folds on without a gap.
    """

    def __init__(self) -> None:
        self._held: WeakValueDictionary[str, Reducer] = WeakValueDictionary()

    def begin(self, run_id: str) -> Reducer:
        """The fold of a run that has no event yet, whatever was held of an earlier one of its id."""
        fold = self._held[run_id] = Reducer()
        return fold

    def of(self, run_id: str) -> Reducer:
        """The run's fold; where nobody holds it, one that has folded nothing."""
        return self._held.get(run_id) or self.begin(run_id)
