"""How much to think, in the words of a Gemini model's family: a level, or a number of tokens."""

from typing import Any

from tailrace.adapters.base import Quirks
from tailrace.adapters.effort import budget_of, effort_of
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.request import Generation

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")


def thinking_config(generation: Generation, row: Quirks) -> dict[str, Any]:
    """`thinkingConfig`: nothing where nothing was asked. The thoughts are shown, in the provider's summaries.

    Raises InvalidRequest where the model does not think, or always does.
    """
    budget = budget_of(generation)
    field = "reasoning_effort" if generation.reasoning_effort else "thinking_budget"
    if not row["thinking"]:
        if budget:
            raise InvalidRequest("the model does not think", field=field)
        return {}
    if budget is None:
        return {"thinkingConfig": {"includeThoughts": True}} if generation.reasoning_summary else {}
    said = _level(generation, row) if row["thinking"] == "level" else _budget(generation, row)
    if said is None:
        raise InvalidRequest("the model always thinks", field=field)
    return {"thinkingConfig": {**({"includeThoughts": True} if budget else {}), **said}}


def _level(generation: Generation, row: Quirks) -> dict[str, Any] | None:
    """The least level that is enough. `minimal` is as little as none on the models that have it."""
    levels, effort = row["levels"], effort_of(generation) or "none"
    if effort == "none" and "minimal" not in levels:
        return None
    enough = [level for level in levels if _EFFORTS.index(level) >= _EFFORTS.index(effort)]
    return {"thinkingLevel": enough[0] if enough else levels[-1]}


def _budget(generation: Generation, row: Quirks) -> dict[str, Any] | None:
    """The number asked for, within the model's range, or the one that the effort stands for."""
    budgets, effort, number = row["budgets"], generation.reasoning_effort, generation.thinking_budget
    if effort == "none" or number == 0:
        return {"thinkingBudget": 0} if "none" in budgets else None
    if number is not None:
        return {"thinkingBudget": min(max(number, budgets["minimal"]), budgets["xhigh"])}
    return {"thinkingBudget": budgets[effort]}
