"""How hard to think: words and tokens, and the way between them, for wires that know only one of the two."""

from tailrace.schema.errors import InvalidRequest
from tailrace.schema.request import Generation, ReasoningEffort

LEAST_BUDGET = 1024  # Anthropic takes no less: https://platform.claude.com/docs/en/build-with-claude/extended-thinking

# Tokens of thinking that an effort stands for. The steps double from `medium` on, and the greatest still leaves as much
# again for the answer in a model of 64,000 output tokens.
BUDGETS: dict[ReasoningEffort, int] = {
    "none": 0,
    "minimal": LEAST_BUDGET,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 32768,
}


def budget_of(generation: Generation) -> int | None:
    """Tokens of thinking asked for, by number or else by word: 0 is off, None is nothing said.

    An effort of `none` outweighs a number. Raises InvalidRequest for a number that no provider takes.
    """
    effort, budget = generation.reasoning_effort, generation.thinking_budget
    if budget is not None and budget != 0 and budget < LEAST_BUDGET:
        raise InvalidRequest(f"thinking_budget must be 0 or at least {LEAST_BUDGET}", field="thinking_budget")
    if effort is None or (effort != "none" and budget is not None):
        return budget
    return BUDGETS[effort]


def effort_of(generation: Generation) -> ReasoningEffort | None:
    """The effort asked for, by word or else by the least one whose budget holds the number; None is nothing said.

    Raises InvalidRequest as `budget_of` does.
    """
    budget = budget_of(generation)
    if generation.reasoning_effort is not None or budget is None:
        return generation.reasoning_effort
    return next((effort for effort, tokens in BUDGETS.items() if budget <= tokens), "xhigh")
