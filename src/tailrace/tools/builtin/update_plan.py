"""`update_plan`: what is to be done, and how far it is. The plan is the call itself: it stands in the log."""

from typing import Literal

from msgspec import Struct

from tailrace.tools.definition import tool
from tailrace.tools.errors import ToolFailed

_MARKS = {"pending": "[ ]", "in_progress": "[>]", "completed": "[x]"}


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a plan."""

    step: str
    status: Literal["pending", "in_progress", "completed"]


@tool(idempotent=True)
def update_plan(plan: list[Step], explanation: str | None = None) -> str:
    """Write down the plan for the task at hand, and how far it is. Give all steps each time; at most one at a time is
    in progress.

    Args:
        plan: The steps, in order.
        explanation: Why the plan changes.

    Examples:
        {"plan": [{"step": "Find the cause", "status": "completed"}, {"step": "Fix it", "status": "in_progress"}]}
    """
    if sum(step.status == "in_progress" for step in plan) > 1:
        raise ToolFailed("plan: at most one step may be in progress")
    lines = [f"{_MARKS[step.status]} {step.step}" for step in plan]
    return "\n".join([*([explanation] if explanation else []), *lines]) or "The plan is empty."
