"""The chaos suite in short: everything that can be killed is, at random, and every promise is checked."""

from pathlib import Path

import pytest

from tests.chaos import schedule

pytestmark = pytest.mark.slow


async def test_nothing_is_lost_or_doubled_whatever_is_killed(tmp_path: Path):
    """Half a minute of faults over Redis and PostgreSQL, with roles split over seven nodes: no promise is broken."""
    findings = await schedule.run(tmp_path, seconds=30, seed=1, say=print)
    assert not findings.violations
    assert findings.runs > 10
    assert findings.faults.total() >= 5
    assert len(findings.effects) > 10
