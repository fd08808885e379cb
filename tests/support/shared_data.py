"""Where the recordings of real provider streams lie: beside the repository, never in it."""

import os
from pathlib import Path

ABSENT = "no recordings: set TAILRACE_SHARED to their folder, or put it at ../shared beside the repository"


def shared_dir() -> Path | None:
    """The folder that holds `recordings/`, from TAILRACE_SHARED or ../shared; None where it is absent."""
    named = os.environ.get("TAILRACE_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared"
    return folder if (folder / "recordings").is_dir() else None
