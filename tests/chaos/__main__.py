"""`make chaos`: the long form, with a seed that is printed. Exit 1 where a promise was broken."""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tailrace.cli.serve import configure_logging
from tests.chaos import schedule


def main() -> int:
    """Run it; the summary on stdout, progress on stderr."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--appendfsync", choices=("always", "everysec"), default="always")
    parser.add_argument("--keep", type=Path, help="keep the nodes' logs here")
    asked = parser.parse_args()
    configure_logging()
    sys.stdout.write(f"seed {asked.seed}, {asked.minutes} minutes, appendfsync {asked.appendfsync}\n")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        run = schedule.run(folder, seconds=asked.minutes * 60, seed=asked.seed, appendfsync=asked.appendfsync, say=say)
        findings = asyncio.run(run)
    sys.stdout.write(findings.summary())
    return 1 if findings.violations else 0


def say(text: str) -> None:
    """Progress: one line that is written over on a terminal, a line each elsewhere."""
    sys.stderr.write(f"\r{text}\033[K" if sys.stderr.isatty() else f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
