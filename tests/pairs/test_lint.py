"""Every recorded answer of a real provider, decoded and said again in every dialect, is a legal stream."""

import pytest

from tailrace.dialects.linters import RULESETS
from tailrace.dialects.table import DIALECTS
from tests.support.linting import broken
from tests.support.replaying import Recording, asked, encoded, recordings

EACH = pytest.mark.parametrize("recording", recordings())


@EACH
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_recording_is_legal_in_every_dialect(recording: Recording, dialect: str):
    """As the protocol's own client asks for it, and as one that was asked for in another protocol."""
    payloads = recording.events()
    assert broken(dialect, encoded(asked(payloads, dialect), dialect), endpoint=dialect in RULESETS) == set()
    assert broken(dialect, encoded(payloads, dialect), endpoint=True) == set()


@EACH
@pytest.mark.parametrize("dialect", DIALECTS)
def test_frames_do_not_depend_on_batches(recording: Recording, dialect: str):
    """Design rule 1: however the log was cut into batches, the same bytes."""
    payloads = recording.events()
    assert encoded(payloads, dialect, size=1) == encoded(payloads, dialect, size=len(payloads))
