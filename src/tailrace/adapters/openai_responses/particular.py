"""A request's body for endpoints that take the Responses wire, but not all of it: what they want otherwise."""

from typing import Any

from tailrace.adapters.base import Quirks
from tailrace.adapters.reading import Json, dicts_in, text_in


def without(body: dict[str, Any], row: Quirks) -> dict[str, Any]:
    """The body without the fields that the endpoint refuses, and without items' ids where it knows none."""
    kept = {name: value for name, value in body.items() if name not in row["unsaid"]}
    if not row["item_ids"]:
        kept["input"] = [{name: value for name, value in item.items() if name != "id"} for item in body["input"]]
    return kept


def instructed(body: dict[str, Any]) -> dict[str, Any]:
    """The body with instructions, and with something to answer.

    Where none were given, the first of the system's messages is taken for them; where the system alone has spoken, its
    last word is said by the user, too.
    """
    items: list[Json] = list(body["input"])
    systems = [item for item in items if item.get("role") == "developer"]
    instructions = body.get("instructions")
    if instructions is None:
        instructions = _text(systems[0]) if systems else ""
        items = [item for item in items if not systems or item is not systems[0]]
    if all(item.get("role") == "developer" for item in items):
        last = _text(items[-1]) if items else instructions
        items.append({"type": "message", "role": "user", "content": [{"type": "input_text", "text": last}]})
    return {**body, "instructions": instructions, "input": items}


def _text(message: Json) -> str:
    return "\n".join(text_in(part, "text") for part in dicts_in(message, "content"))
