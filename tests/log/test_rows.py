"""Batches that share a row of the SQLite log come back as they were."""

import sqlite3
from contextlib import closing
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tailrace.log import rows as rows_module
from tailrace.log import sqlite_file
from tailrace.log.journal import Row
from tailrace.log.rows import joined, parted
from tailrace.log.sqlite import SqliteLog
from tailrace.schema.events import TraceContext
from tailrace.testing.log_conformance import TRACE, deltas, read_all, seqs


@st.composite
def appended(draw: st.DrawFn) -> list[Row]:
    """What some runs have appended, one after another; a run may lack what stands elsewhere already."""
    rows: list[Row] = []
    last: dict[int, int] = {}
    for number in range(draw(st.integers(1, 40))):
        run, count = draw(st.integers(1, 3)), draw(st.integers(1, 4))
        first = last.get(run, draw(st.integers(0, 5))) + 1 + draw(st.sampled_from([0, 0, 0, 7]))
        last[run] = first + count - 1
        lines = draw(st.lists(st.binary(min_size=1, max_size=9).map(bytes.hex), min_size=count, max_size=count))
        payloads = "\n".join(lines).encode() + b"x" * draw(st.sampled_from([0, 0, 0, rows_module.MOST_BYTES]))
        trace = draw(st.sampled_from([("00-1-1-00", None), ("00-1-2-00", None), ("00-1-1-00", "v=1")]))
        rows.append((10 + number, run, first, last[run], draw(st.integers(0, 1 << 41)), *trace, False, payloads))
    return rows


@given(appended(), st.integers(0, 60))
def test_the_batches_of_a_row_are_those_that_were_appended(rows: list[Row], after: int):
    """Each with its own time, from any cursor; in order; and the greatest id is the last one's."""
    stored = joined(rows)
    assert [row[0] for row in stored] == sorted({row[0] for row in stored})
    assert stored[-1][0] == rows[-1][0]
    for run in {row[1] for row in rows}:
        found = [
            (batch.first_seq, batch.last_seq, batch.timestamp, batch.trace, b"\n".join(batch.raw))
            for row in stored if row[1] == run
            for batch in parted(str(run), row[2], row[4], TraceContext(*row[5:7]), row[7], row[8], after)
        ]  # fmt: skip
        assert found == [
            (row[2], row[3], row[4], TraceContext(*row[5:7]), row[8])
            for row in rows
            if row[1] == run and row[3] > after
        ]


def test_rows_are_joined_where_they_can_be():
    """Those that follow each other under one trace, up to a size; others stand alone."""
    line = b"x" * 100
    rows: list[Row] = [(number, 1, number, number, number, "00-1-1-00", None, False, line) for number in range(1, 101)]
    stored = joined(rows)
    assert len(stored) < 5
    assert sum(row[3] - row[2] + 1 for row in stored) == 100
    assert joined([rows[0], rows[2]]) == [(*rows[0][:7], None, line), (*rows[2][:7], None, line)]


async def test_a_log_of_the_version_before_goes_on(tmp_path: Path):
    """Its rows hold one batch each."""
    with closing(sqlite3.connect(tmp_path / "log.db")) as db:
        db.executescript(
            f"PRAGMA page_size = {sqlite_file.PAGE_SIZE}; {sqlite_file._STEPS[0]} PRAGMA user_version = 1;"
        )
        db.execute("INSERT INTO runs (run, run_id, epoch) VALUES (1, 'r', 1)")
        for seq in (1, 2):
            payload = b'{"type":"item_delta","item_id":"i","delta_content":"%d"}' % seq
            db.execute(
                "INSERT INTO batches (id, run, first_seq, last_seq, timestamp, traceparent, payloads)"
                " VALUES (?, 1, ?, ?, 7, '00-1-1-00', ?)",
                (seq, seq, seq, payload),
            )
        db.commit()
    log = SqliteLog(tmp_path / "log.db")
    batch = await log.append("r", await log.acquire("r"), deltas(2), TRACE)
    assert (batch.first_seq, batch.last_seq) == (3, 4)
    await log.close()
    log = SqliteLog(tmp_path / "log.db")
    assert seqs(await read_all(log, "r")) == [1, 2, 3, 4]
    assert [each.timestamp for each in await read_all(log, "r")][:2] == [7, 7]
    await log.close()
