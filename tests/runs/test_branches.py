"""Which runs of a thread lead to another: laws, and one thread by hand."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from tailrace.runs.branches import branch
from tailrace.schema.response import Response
from tailrace.testing.stored import a_response


def a_thread(*after: str | UnsetType | None) -> list[Response]:
    """Runs r0, r1, … that go on from these."""
    return [replace(a_response(f"r{place}", "t"), after_run_id=given) for place, given in enumerate(after)]


def ids(runs: list[Response]) -> str:
    return " ".join(run.id for run in runs)


def test_an_edited_question_begins_where_the_first_one_did():
    """r2 is r1 in other words, r4 is r0; what comes next goes on from the newest, unless it says otherwise."""
    runs = a_thread(UNSET, UNSET, "r0", UNSET, None)
    assert [ids(branch(runs[:upto])) for upto in range(6)] == ["", "r0", "r0 r1", "r0 r2", "r0 r2 r3", "r4"]
    assert ids(branch(runs, "r3")) == "r0 r2 r3"
    assert ids(branch(runs, "r1")) == "r0 r1"
    assert branch(runs, None) == []
    assert branch(runs, "of another thread") == []


@given(st.lists(st.integers(-2, 12), max_size=12))
def test_every_branch_is_in_order_and_each_run_goes_on_from_the_one_before(after: list[int]):
    """Whatever runs name: no loops, none twice; without branches it is the whole thread."""
    named = [UNSET if one == -2 else None if one == -1 else f"r{one}" for one in after]
    runs = a_thread(*named)
    path = branch(runs)
    assert path == sorted(path, key=runs.index)
    assert len(set(ids(path).split())) == len(path)
    for run, before in zip(path[1:], path, strict=False):
        expected = runs[runs.index(run) - 1].id if run.after_run_id is UNSET else run.after_run_id
        assert before.id == expected
    assert branch([replace(run, after_run_id=UNSET) for run in runs]) == a_thread(*[UNSET] * len(runs))
