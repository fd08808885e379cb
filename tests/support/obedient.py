"""A model that does as it is told: it heeds limits, stop sequences, tool choices and formats, on each scripted wire.

For suites that judge a server by what its model does. It answers with all that the user said.
"""

from collections.abc import Sequence
from typing import Any

from tailrace.schema import codec
from tailrace.testing.moves import Call, Finish, Move, Text
from tailrace.testing.scripts import example
from tailrace.testing.wires.base import Asked

CHARS_PER_TOKEN = 4
LONG = 200  # words, where somebody asks for a long answer


def obedient(asked: Asked) -> Sequence[Move]:
    """What it does about a request."""
    call = _call(asked)
    if call is not None:
        return [call]
    text = _text(asked)
    for stop in _stops(asked.body):
        text = text.split(stop)[0]
    limit = _limit(asked.body) * CHARS_PER_TOKEN
    return [Text(text)] if len(text) <= limit else [Text(text[:limit]), Finish("length")]


def _text(asked: Asked) -> str:
    schema = _schema(asked.body)
    if schema is not None:
        return codec.encode(example(schema, "yes")).decode()
    said = [*asked.user_texts, *asked.outputs]
    long = [str(number) for number in range(LONG)] if _limit(asked.body) < LONG else []
    return " ".join(["You said:", *said, *long])


def _call(asked: Asked) -> Call | None:
    """A tool is called where one is offered, none has answered yet, and none is forbidden."""
    choice = asked.body.get("tool_choice")
    kind = choice.get("type") if isinstance(choice, dict) else choice
    if not asked.tools or asked.outputs or kind == "none":
        return None
    wanted = choice.get("name") or choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    tool = next((tool for tool in asked.tools if tool.name == wanted), asked.tools[0])
    return Call(tool.name, codec.encode(example(tool.parameters, "Paris")).decode())


def _stops(body: dict[str, Any]) -> list[str]:
    stops = body.get("stop") or body.get("stop_sequences") or []
    return [stops] if isinstance(stops, str) else stops


def _limit(body: dict[str, Any]) -> int:
    names = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    return next((body[name] for name in names if body.get(name)), 1_000_000)


def _schema(body: dict[str, Any]) -> dict[str, Any] | None:
    """The JSON Schema that the answer is to fit, if any; for JSON without one, an object of some kind."""
    said: dict[str, Any] = body.get("response_format") or (body.get("text") or {}).get("format") or {}
    said = said or (body.get("output_config") or {}).get("format") or {}
    if said.get("type") not in {"json_object", "json_schema"}:
        return None
    any_object = {"type": "object", "properties": {"answer": {"type": "string"}}}
    schema: dict[str, Any] = said.get("schema") or said.get("json_schema", {}).get("schema") or any_object
    return schema
