"""What a server asks in the midst of a call ("elicitation"), as a question to a person, and the answer to it.

Specification of 2025-11-25, "Elicitation": a form of plain values, or a page to open. What stands in the form's schema
beyond what the specification allows is left out: a server must not have us follow references or run its patterns.
"""

from typing import Any

from jsonschema import Draft202012Validator, SchemaError
from mcp_types import ElicitRequestFormParams, ElicitRequestURLParams, ElicitResult

from tailrace.schema.response import Question, Resolution

_ACTIONS = {"approved": "accept", "denied": "decline", "cancelled": "cancel", "expired": "cancel"}
_MOST_FIELDS = 50
_KEYWORDS = frozenset({
    "type", "title", "description", "default", "enum", "enumNames", "minLength", "maxLength", "format", "minimum",
    "maximum", "minItems", "maxItems",
})  # fmt: skip
_TYPES = frozenset({"string", "number", "integer", "boolean", "array"})


def question_of(params: ElicitRequestFormParams | ElicitRequestURLParams) -> Question:
    """The question. Raises ValueError where the form is none of plain values."""
    if isinstance(params, ElicitRequestURLParams):
        return Question(message=params.message, url=params.url)
    asked: dict[str, Any] = dict(params.requested_schema)
    fields = asked.get("properties")
    if not isinstance(fields, dict) or len(fields) > _MOST_FIELDS:
        raise ValueError("the form has no `properties`, or too many")
    form: dict[str, Any] = {
        "type": "object",
        "properties": {name: _field(name, given) for name, given in fields.items()},
        "additionalProperties": False,
    }
    required = asked.get("required")
    if isinstance(required, list):
        form["required"] = [name for name in required if name in fields]
    try:
        Draft202012Validator.check_schema(form)
    except SchemaError as error:
        raise ValueError(f"the form's schema is none: {error.message[:200]}") from error
    return Question(message=params.message, schema=form)


def _field(name: str, given: object) -> dict[str, Any]:
    if not isinstance(given, dict) or given.get("type") not in _TYPES:
        raise ValueError(f"the form's {name} is no plain value")
    field = {key: value for key, value in given.items() if key in _KEYWORDS}
    titled = _titled(given.get("oneOf"))
    if titled:
        field["oneOf"] = titled
    if field["type"] == "array":
        items = given.get("items")
        field["items"] = _choices(items) if isinstance(items, dict) else {"type": "string"}
    return field


def _choices(items: dict[str, Any]) -> dict[str, Any]:
    titled = _titled(items.get("anyOf"))
    if titled:
        return {"anyOf": titled}
    kept: dict[str, Any] = {"type": "string"}
    if isinstance(items.get("enum"), list):
        kept["enum"] = items["enum"]
    return kept


def _titled(given: object) -> list[dict[str, Any]]:
    """Choices with titles, as `{const, title}`."""
    if not isinstance(given, list):
        return []
    return [
        {key: value for key, value in each.items() if key in {"const", "title"}}
        for each in given
        if isinstance(each, dict) and "const" in each
    ]


def answer_of(question: Question, resolution: Resolution) -> ElicitResult:
    """The answer, for the server."""
    action = _ACTIONS.get(resolution.decision, "cancel")
    content = (resolution.content or {}) if action == "accept" and question.schema is not None else None
    return ElicitResult.model_validate({"action": action, "content": content})
