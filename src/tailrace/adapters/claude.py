"""How Claude is asked to think, and what it does not take with that: the same on each wire that hosts it.

Rows are those of anthropic_messages/quirks.py. Facts:
https://platform.claude.com/docs/en/build-with-claude/extended-thinking.
"""

from typing import Any

from tailrace.adapters.base import Quirks
from tailrace.adapters.canonical import fields
from tailrace.adapters.effort import LEAST_BUDGET, budget_of, effort_of
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.request import Generation

LEAST_TOP_P = 0.95  # with thinking


def thinking_of(generation: Generation, row: Quirks, *, forced: bool, lost: bool) -> dict[str, Any]:
    """`thinking`: nothing where nothing was asked.

    It may not be on where a call is `forced`, nor where the tool loop that the request is in began without it (`lost`).
    Raises InvalidRequest where the model always thinks.
    """
    budget = budget_of(generation)
    if budget == 0 or (forced and row["thinking_off"]):
        return _no_thinking(generation, row)
    if budget is None or forced:
        return {}
    if row["thinking"] == "adaptive":
        return {"thinking": {"type": "adaptive", "display": "summarized"}}
    return {} if lost else {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _no_thinking(generation: Generation, row: Quirks) -> dict[str, Any]:
    off = row["thinking_off"]
    if not off:
        field = "reasoning_effort" if generation.reasoning_effort else "thinking_budget"
        raise InvalidRequest("the model always thinks", field=field)
    return {} if off == "omit" else {"thinking": {"type": off}}


def effort_word(generation: Generation, row: Quirks, thinking: dict[str, Any]) -> str | None:
    """The effort, where thinking goes by it."""
    if thinking.get("thinking", {}).get("type") != "adaptive":
        return None
    effort = str(effort_of(generation))
    return {"minimal": "low", "xhigh": str(row["xhigh"])}.get(effort, effort)


def max_tokens_of(generation: Generation, row: Quirks, thinking: dict[str, Any]) -> int:
    """As asked, but always with room for an answer beside the budget, which counts towards it."""
    asked = int(generation.max_output_tokens or row["max_tokens"])
    budget = thinking.get("thinking", {}).get("budget_tokens", 0)
    return max(asked, budget + LEAST_BUDGET) if budget else asked


def sampling_of(generation: Generation, row: Quirks, thinking: dict[str, Any]) -> dict[str, float]:
    """What is not what the API does anyway; with thinking it takes only a `top_p` close to 1.

    Raises InvalidRequest for what the model, or thinking, does not allow.
    """
    is_on = thinking.get("thinking", {}).get("type") in {"enabled", "adaptive"}
    asked = fields(generation, temperature="temperature", top_p="top_p", top_k="top_k")
    asked = {name: value for name, value in asked.items() if name == "top_k" or value != 1}
    for name, value in asked.items():
        if not row["sampling"]:
            raise InvalidRequest(f"the model takes no {name}", field=name)
        if is_on and not (name == "top_p" and value >= LEAST_TOP_P):
            raise InvalidRequest(f"the provider does not take this {name} with thinking", field=name)
    if asked.get("temperature", 0) > 1:
        raise InvalidRequest("the provider's temperatures end at 1", field="temperature")
    return asked
