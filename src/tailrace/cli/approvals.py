"""Asking a person in the terminal about a tool call."""

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from tailrace.cli.terminal import note, one_line, styled
from tailrace.schema.events import ApprovalRequested

if TYPE_CHECKING:
    from tailrace.client.client import Client

_ANSWERS = {"y": "approved", "yes": "approved", "a": "approved_for_run", "n": "denied", "no": "denied"}


def who() -> str:
    """The name under which a decision stands in the log."""
    return os.environ.get("USER") or "terminal"


async def ask(client: "Client", run_id: str, asked: ApprovalRequested) -> None:
    """Ask, where a person is at the terminal, and send the decision; else say how it can be sent.

    Raises ClientError, unless somebody else was faster.
    """
    from tailrace.client.client import ClientError

    if not sys.stdin.isatty():
        note(f"waits for approval of {asked.tool}({asked.arguments}): `tailrace approve {run_id}`, or `tailrace deny`")
        return
    sys.stderr.write(f"{styled('approve?', 'yellow')} {one_line(f'{asked.tool}({asked.arguments})')}\n")
    sys.stderr.write(styled(f"  {one_line(asked.reason)}\n", dim=True))
    answer = await _answer()
    if answer is None:
        note(f"not decided: `tailrace approve {run_id}`, or `tailrace deny {run_id}`")
        return
    decision, reason = answer
    try:
        await client.approve(run_id, asked.approval_id, decision, reason=reason, by=who())
    except ClientError as refused:
        if refused.status not in {404, 409}:
            raise
        note(refused.message)


async def _answer() -> tuple[str, str | None] | None:
    """A decision and a reason for it; None where the input has ended."""
    while True:
        sys.stderr.write("  [y]es, [a]lways in this run, [n]o, or no with a reason (`n too early`): ")
        sys.stderr.flush()
        line = await _line()
        if not line:
            return None
        word, _, reason = line.strip().partition(" ")
        decision = _ANSWERS.get(word.lower())
        if decision is not None:
            return decision, reason.strip() or None if decision == "denied" else None


async def _line() -> str:
    """What is typed next; Ctrl-C ends the waiting, as a thread's could not be."""
    loop = asyncio.get_running_loop()
    typed = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), typed.set)
    try:
        await typed.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline()
