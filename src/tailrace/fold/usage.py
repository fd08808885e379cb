"""Adding up token counts (contract §2: a run's usage is the sum of its steps')."""

from collections.abc import Iterable

from tailrace.schema.response import Usage


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def total(usages: Iterable[Usage | None]) -> Usage | None:
    """The sum; a detail that no step reported stays absent. None where no step reported anything."""
    known = [usage for usage in usages if usage is not None]
    if len(known) < 2:  # nearly every run has one step: nothing to add up
        return known[0] if known else None
    costs = [usage.cost_usd for usage in known if usage.cost_usd is not None]
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in known),
        completion_tokens=sum(usage.completion_tokens for usage in known),
        total_tokens=sum(usage.total_tokens for usage in known),
        cached_tokens=_sum(usage.cached_tokens for usage in known),
        cache_write_tokens=_sum(usage.cache_write_tokens for usage in known),
        reasoning_tokens=_sum(usage.reasoning_tokens for usage in known),
        cost_usd=sum(costs) if costs else None,
    )
