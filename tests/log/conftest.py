"""What the tests of logs share."""

import pytest

from tailrace.log import redis_link


@pytest.fixture
def quick_to_return(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis' connections are tried again within moments, however often they are cut."""
    monkeypatch.setattr(redis_link, "BACKOFF_MAX_S", 0.05)
    monkeypatch.setattr(redis_link, "BEAT_S", 0.05)
