"""Asking a person in the terminal about a tool call."""

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

from tailrace.cli.terminal import note, one_line, styled
from tailrace.schema.events import ApprovalRequested
from tailrace.schema.response import Decision, Question, Resolution

if TYPE_CHECKING:
    from tailrace.client.client import Client

_ANSWERS: dict[str, Decision] = {
    "y": "approved",
    "yes": "approved",
    "a": "approved_for_run",
    "n": "denied",
    "no": "denied",
}


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
    while True:
        given = await (_decision(asked) if asked.question is None else _reply(asked.tool, asked.question))
        if given is None:
            note(f"not decided: `tailrace approve {run_id}`, or `tailrace deny {run_id}`")
            return
        try:
            await client.approve(run_id, asked.approval_id, given.decision, reason=given.reason, by=who(),
                                 content=given.content)  # fmt: skip
            return
        except ClientError as refused:
            note(refused.message)
            if refused.status in {404, 409}:
                return
            if refused.status != 400:
                raise


async def _decision(asked: ApprovalRequested) -> Resolution | None:
    sys.stderr.write(f"{styled('approve?', 'yellow')} {one_line(f'{asked.tool}({asked.arguments})')}\n")
    sys.stderr.write(styled(f"  {one_line(asked.reason)}\n", dim=True))
    answer = await _answer()
    return Resolution(decision=answer[0], by=who(), reason=answer[1]) if answer is not None else None


async def _reply(tool: str, question: Question) -> Resolution | None:
    """What a running call asks: one value after the other; None where the input has ended."""
    sys.stderr.write(f"{styled(f'{one_line(tool)} asks:', 'yellow')} {one_line(question.message)}\n")
    if question.url is not None:
        sys.stderr.write(f"  {one_line(question.url)}\n")
    sys.stderr.write("  [y]es, [n]o, or leave it [o]pen: ")
    sys.stderr.flush()
    line = await _line()
    if not line:
        return None
    word = line.strip().lower()
    if word not in {"y", "yes"}:
        return Resolution(decision="denied" if word in {"n", "no"} else "cancelled", by=who())
    content = {}
    form = question.schema or {}
    for name, field in form.get("properties", {}).items():
        sys.stderr.write(f"  {_prompt(name, field, is_required=name in form.get('required', []))}: ")
        sys.stderr.flush()
        line = await _line()
        if not line:
            return None
        if line.strip():
            content[name] = _value(field, line.strip())
    return Resolution(decision="approved", by=who(), content=content if question.schema is not None else None)


def _prompt(name: str, field: dict[str, Any], *, is_required: bool) -> str:
    inner = field.get("items", field)
    titled = [each["const"] for each in inner.get("oneOf") or inner.get("anyOf") or []]
    choices = titled or inner.get("enum") or (["yes", "no"] if field["type"] == "boolean" else [])
    about = [f"one of {', '.join(map(str, choices))}" if field["type"] != "array" else f"some of {', '.join(choices)}"]
    about = (about if choices else []) + ([] if is_required else ["optional"])
    label = field.get("title") or name
    return one_line(f"{label} ({'; '.join(about)})" if about else label)


def _value(field: dict[str, Any], text: str) -> object:
    """What is typed, as the field's type has it; what is none of that type the server refuses, and says so."""
    match field["type"]:
        case "boolean":
            return text.lower() in {"y", "yes", "true", "1"}
        case "array":
            return [each.strip() for each in text.split(",") if each.strip()]
        case "integer" | "number":
            try:
                return int(text) if field["type"] == "integer" else float(text)
            except ValueError:
                return text
    return text


async def _answer() -> tuple[Decision, str | None] | None:
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
