"""Growing Markdown: what is final is found once and for good, however the text is cut."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tailrace.cli.markdown import Blocks

TEXT = "# One\n\npara\nmore\n\n```py\na\n\nb\n```\n\n- x\n\n  y\n- z\n\n\n~~~~\n```\n\n~~~\nq\n~~~~\n\nend\n"
BLOCKS = [
    "# One\n\n",
    "para\nmore\n\n",
    "```py\na\n\nb\n```\n\n",
    "- x\n\n  y\n- z\n\n\n",
    "~~~~\n```\n\n~~~\nq\n~~~~\n\n",
]


def split(text: str, at: list[int]) -> list[str]:
    """The pieces that are final, as they come."""
    blocks, rest, pieces = Blocks(), "", []
    edges = [0, *sorted(at), len(text)]
    for start, end in pairwise(edges):
        rest += text[start:end]
        cut = blocks.grow(text[start:end])
        if cut:
            pieces.append(rest[:cut])
            rest = rest[cut:]
    return [*pieces, rest]


def test_blocks_end_where_a_new_one_begins():
    """Fences hold their blank lines, lists their indented paragraphs."""
    assert split(TEXT, list(range(len(TEXT)))) == [*BLOCKS, "end\n"]


@given(st.lists(st.integers(0, len(TEXT)), max_size=12))
def test_however_it_is_cut_nothing_is_lost_and_no_block_broken(at: list[int]):
    """The pieces join to the text, and each ends where a block does."""
    pieces = split(TEXT, at)
    assert "".join(pieces) == TEXT
    ends = {len("".join(BLOCKS[:number])) for number in range(1, len(BLOCKS) + 1)}
    place = 0
    for piece in pieces[:-1]:
        place += len(piece)
        assert place in ends
