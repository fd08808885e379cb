"""Folds in memory: one for each run, for as long as somebody holds it."""

from tailrace.fold.folds import Folds
from tailrace.schema.batch import Batch
from tailrace.schema.events import ResponseStart, TraceContext

START = ResponseStart(response_id="r", turn_id="t", thread_id="t", model_id="m", provider_id="p", created_at=1)


def test_all_who_hold_a_run_hold_one_fold():
    """Those of different runs are different ones, and nothing is kept that nobody holds."""
    folds = Folds()
    one = folds.begin("r")
    assert folds.of("r") is one
    assert folds.of("s") is not one
    one.fold([Batch("r", 1, 1, TraceContext("x"), [START])])
    assert folds.of("r").last_seq == 1
    del one
    assert folds.of("r").last_seq == 0


def test_a_run_that_begins_is_no_earlier_one_of_its_id():
    """Though somebody may still hold that one's."""
    folds = Folds()
    earlier = folds.begin("r").fold([Batch("r", 1, 1, TraceContext("x"), [START])])
    begun = folds.begin("r")
    assert (earlier.last_seq, begun.last_seq) == (1, 0)
    assert folds.of("r") is begun
