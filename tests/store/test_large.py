"""Large items beside their snapshot: what is taken apart comes together again."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tailrace.schema import codec
from tailrace.schema.items import MessageItem, OutputItem
from tailrace.store.base import Projection
from tailrace.store.large import LIMIT, digests, join, split
from tailrace.store.sql import migrate, open_store
from tailrace.testing.stored import a_response, a_run, a_thread, an_output

SIZES = st.one_of(st.integers(0, 100), st.integers(LIMIT - 200, LIMIT + 200))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(SIZES, st.sampled_from("ab\n")), max_size=4))
def test_what_is_split_is_joined_again(parts: list[tuple[int, str]]) -> None:
    """Whatever is large of it; and nothing large is left in the snapshot."""
    items: list[OutputItem] = [
        MessageItem(id=f"{place}", content=text * size) for place, (size, text) in enumerate(parts)
    ]
    response = replace(a_response("r", "t"), output_items=items)
    made = split(response, codec.encode(response))
    assert join(made.snapshot, made.places, made.items) == response
    assert digests(made.places) == set(made.items)
    large = [item for item in items if len(codec.encode(item)) > LIMIT]
    assert len(made.snapshot) <= sum(len(codec.encode(item)) for item in items if item not in large) + 1000
    assert (made.places is None) is (not large)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A database with its tables."""
    await migrate(f"sqlite:///{tmp_path / 'store.db'}")
    return tmp_path / "store.db"


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    """By another way than the store's."""
    db = sqlite3.connect(path)
    found = db.execute(query).fetchall()
    db.close()
    return found


async def test_c46_a_large_item_is_written_once_and_compressed(path: Path) -> None:
    """However often the snapshot changes beside it; when it is no longer part of it, it goes."""
    store = await open_store(f"sqlite:///{path}")
    await store.create_run(a_run("r"), a_thread("t"))
    for seq in range(1, 4):
        response = replace(a_response("r", "t", "in_progress", seq), output_items=[an_output(1, 5_000_000)])
        await store.project([Projection(response=response)])
        ((rowid, size),) = rows(path, "SELECT rowid, length(data) FROM large_items")
        assert rowid == 1
        assert size < 100_000
        ((snapshot,),) = rows(path, "SELECT snapshot FROM runs")
        assert isinstance(snapshot, bytes)
        assert len(snapshot) < 1000
        assert b"tailrace.large_item" in snapshot
    await store.project([Projection(response=a_response("r", "t", "in_progress", 9))])
    assert rows(path, "SELECT * FROM large_items") == []
    await store.close()
