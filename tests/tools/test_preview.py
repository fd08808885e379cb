"""A long text's head and tail."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.tools.preview import preview

TEXT = st.text(st.sampled_from("ab\nä€😀"), max_size=300)


@settings(deadline=None)
@given(TEXT, st.integers(1, 200))
def test_a_preview_is_a_head_and_a_tail_of_whole_characters(text, limit):
    """Nothing is changed but the middle, which is counted; what fits is whole."""
    shown = preview(text, limit)
    if len(text.encode()) <= limit:
        assert shown == text
        return
    head, mark, rest = shown.partition("[… ")
    count, _, rest = rest.partition(" bytes (")
    lines, _, tail = rest.partition(" lines) left out here …]\n")
    assert mark
    assert text.endswith(tail)
    before = text.removesuffix(tail) if tail else text
    heads = [each for each in {head, head.removesuffix("\n")} if before.startswith(each)]  # a line's end may be added
    middles = {each: before.removeprefix(each) for each in heads}
    (found,) = [each for each, middle in middles.items() if len(middle.encode()) == int(count)]
    assert middles[found].count("\n") == int(lines)
    assert len((found + tail).encode()) <= limit


def test_a_preview_is_cut_between_lines():
    """Where there are lines, no half of one is shown."""
    text = "".join(f"line {number}\n" for number in range(1000))
    shown = preview(text, 100, "r1/c1")
    assert shown.splitlines()[0] == "line 0"
    assert shown.splitlines()[-1] == "line 999"
    assert all(line.startswith(("line ", "[… ")) for line in shown.splitlines())
    assert "left out here; all of it is kept as r1/c1" in shown
