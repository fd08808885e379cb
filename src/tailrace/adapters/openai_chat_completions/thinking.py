"""How a host of the chat wire is asked to think, or not to (quirks.py, FORMATS)."""

from typing import Any

from tailrace.adapters.base import Quirks
from tailrace.adapters.canonical import merged
from tailrace.adapters.effort import budget_of, effort_of
from tailrace.adapters.openai_chat_completions.quirks import FORMATS, Format
from tailrace.adapters.tools import Offer
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.request import Generation, NamedToolChoice


def thinking(generation: Generation, row: Quirks, offer: Offer) -> dict[str, Any]:
    """The fields; none where nothing was asked, save where the host must be told not to think beside such tools.

    Raises InvalidRequest, naming the field, for what the host has no words for.
    """
    budget = budget_of(generation)
    if row["reasoning"] == "none":
        if budget:
            raise InvalidRequest("the provider cannot be asked to reason", field=_field(generation))
        return {}
    form = FORMATS[row["reasoning"]]
    if budget == 0 or _is_ruled_out(row["reasoning_beside_tools"], offer):
        return dict(row["reasoning_off"] or _off(form, row))
    return {} if budget is None else _on(generation, form, row)


def _is_ruled_out(beside_tools: str, offer: Offer) -> bool:
    if beside_tools == "always" or not offer.tools:
        return False
    forced = offer.choice == "required" or isinstance(offer.choice, NamedToolChoice)
    chosen = forced or offer.choice == "none"
    return {"unforced": forced, "unchosen": chosen}.get(beside_tools, True)


def _off(form: Format, row: Quirks) -> dict[str, Any]:
    word = row["efforts"].get("none")
    return form.off if word is None or not form.effort else _at(form.effort, word)


def _on(generation: Generation, form: Format, row: Quirks) -> dict[str, Any]:
    """By number where one was given and can be said, else by word; a host that knows neither is told to think."""
    if generation.reasoning_effort is None and form.budget:
        return merged(form.on, _at(form.budget, generation.thinking_budget))
    if generation.reasoning_effort is None and form.effort:
        raise InvalidRequest("the provider takes a reasoning_effort, not a budget", field="thinking_budget")
    if form.effort:
        effort = str(effort_of(generation))
        return merged(form.on, _at(form.effort, row["efforts"].get(effort, effort)))
    return merged(form.on, _at(form.budget, budget_of(generation)))


def _at(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The value under these names; {} where there is no path, or an empty word."""
    if not path or value == "":
        return {}
    said = value
    for name in reversed(path):
        said = {name: said}
    return dict(said)


def _field(generation: Generation) -> str:
    return "reasoning_effort" if generation.reasoning_effort else "thinking_budget"
