"""`python -m bench [--only NAME] [--quick]`: measure and print the table. Progress goes to stderr."""

import argparse
import asyncio
import resource
import sys
import tempfile
from pathlib import Path

import uvloop

from bench.client import BenchError
from bench.load import Bench
from bench.processes import helper
from bench.report import Figure, show
from bench.scenarios import SCENARIOS

LIMIT_S = 1200.0
FILES = 8192  # sockets of 1,000 readers; the servers inherit the limit


def say(text: str) -> None:
    """A line of progress."""
    print(f"bench    {text}", file=sys.stderr, flush=True)


async def measure(names: list[str], starts: int, rounds: int) -> list[Figure]:
    """The figures of these scenarios, one after another."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as folder:
        async with asyncio.timeout(LIMIT_S), helper("bench.upstream") as upstream:
            for name in names:
                figures += await SCENARIOS[name](Bench(Path(folder), upstream, starts, rounds, say))
    return figures


def main() -> int:
    """The exit code: 0 where everything could be measured, whatever the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="What streaming costs.")
    parser.add_argument("--only", choices=SCENARIOS, help="one scenario instead of all")
    parser.add_argument("--quick", action="store_true", help="one start of each system instead of five")
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), hard))
    names = [options.only] if options.only else list(SCENARIOS)
    try:
        figures = uvloop.run(measure(names, *((1, 2) if options.quick else (5, 2))))
    except (BenchError, TimeoutError, ExceptionGroup) as error:
        say(f"failed: {error!r}")
        return 1
    show(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
