"""What Google refuses in a request to Gemini, and in which words: https://ai.google.dev/api/generate-content,
https://ai.google.dev/gemini-api/docs/function-calling and /thought-signatures. Pure."""

import base64
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from tailrace.schema import codec
from tailrace.testing.wires.base import Json, Memory, sign

UNSIGNED = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
MOST_STOPS = 5

_ANY = None
_BLOB: Json = {"mimeType": _ANY, "data": _ANY, "displayName": _ANY}
_FILE: Json = {"mimeType": _ANY, "fileUri": _ANY, "displayName": _ANY}
_DATA: Json = {
    "text": _ANY,
    "inlineData": _BLOB,
    "fileData": _FILE,
    "functionCall": {"id": _ANY, "name": _ANY, "args": _ANY},
    "functionResponse": {
        "id": _ANY,
        "name": _ANY,
        "response": _ANY,
        "parts": [{"inlineData": _BLOB, "fileData": _FILE}],
    },
    "executableCode": {"id": _ANY, "language": _ANY, "code": _ANY},
    "codeExecutionResult": {"id": _ANY, "outcome": _ANY, "output": _ANY},
    "toolCall": {"id": _ANY, "toolType": _ANY, "args": _ANY},
    "toolResponse": {"id": _ANY, "toolType": _ANY, "response": _ANY},
}
_PART: Json = {**_DATA, "thought": _ANY, "thoughtSignature": _ANY, "partMetadata": _ANY, "videoMetadata": _ANY}
_SCHEMA_WORDS = frozenset({
    "type", "format", "title", "description", "enum", "items", "prefixItems", "minItems", "maxItems", "minimum",
    "maximum", "anyOf", "oneOf", "properties", "additionalProperties", "required", "propertyOrdering", "$defs", "$ref",
    "$id", "$anchor",
})  # fmt: skip
# Every field that there is: an object names its own, `_ANY` is not looked into.
_SHAPE: Json = {
    "contents": [{"role": _ANY, "parts": [_PART]}],
    "systemInstruction": {"role": _ANY, "parts": [_PART]},
    "tools": [
        {
            "functionDeclarations": [{"name": _ANY, "description": _ANY, "parametersJsonSchema": _ANY}],
            "googleSearch": _ANY,
            "googleMaps": _ANY,
            "codeExecution": _ANY,
            "urlContext": _ANY,
            "fileSearch": _ANY,
            "computerUse": _ANY,
        }
    ],
    "toolConfig": {
        "functionCallingConfig": {"mode": _ANY, "allowedFunctionNames": _ANY},
        "retrievalConfig": _ANY,
        "includeServerSideToolInvocations": _ANY,
    },
    "generationConfig": {
        **dict.fromkeys((
            "stopSequences", "responseMimeType", "responseJsonSchema", "responseModalities", "candidateCount",
            "maxOutputTokens", "temperature", "topP", "topK", "seed", "presencePenalty", "frequencyPenalty",
            "responseLogprobs", "logprobs", "speechConfig", "imageConfig", "mediaResolution",
        )),
        "thinkingConfig": {"includeThoughts": _ANY, "thinkingBudget": _ANY, "thinkingLevel": _ANY},
    },
    "safetySettings": _ANY,
    "cachedContent": _ANY,
    "serviceTier": _ANY,
    "labels": _ANY,
}  # fmt: skip
_FROM_PATH = frozenset({"api", "model", "method"})
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.-]{0,63}")


def complaints(body: Json, memory: Memory) -> Iterator[str]:
    """What is wrong with it, the first thing first; `body` holds the model and the method beside its own fields."""
    if body["method"] not in {"generateContent", "streamGenerateContent"}:
        yield f"Method {body['method']!r} is not found."
    yield from _unknown({name: body[name] for name in body if name not in _FROM_PATH}, _SHAPE, "")
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        yield "* GenerateContentRequest.contents: contents is not specified"
        return
    for content in contents:
        yield from _content(content)
    yield from _turns(contents)
    yield from _tools(body)
    yield from _config(body.get("generationConfig") or {})
    for content in contents:
        yield from _signatures(content["parts"], body["model"], memory)


def sign_call(call: Json) -> str:
    """The signature of a call: whoever changes the call breaks it."""
    return sign(call["name"] + codec.encode_canonical(call.get("args") or {}).decode())


def _unknown(value: Any, shape: Any, place: str) -> Iterator[str]:
    if isinstance(shape, list) and isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _unknown(inner, shape[0], f"{place}[{at}]")
    elif isinstance(shape, dict) and isinstance(value, dict):
        for name, inner in value.items():
            if name not in shape:
                yield f"Invalid JSON payload received. Unknown name \"{name}\" at '{place}': Cannot find field."
            else:
                yield from _unknown(inner, shape[name], f"{place}.{name}" if place else name)
    elif shape is not _ANY:
        yield f"Invalid value at '{place}'"


def _content(content: Json) -> Iterator[str]:
    if content.get("role", "user") not in {"user", "model"}:
        yield "Please use a valid role: user, model."
    if not content.get("parts"):
        yield "* GenerateContentRequest.contents[].parts: contents.parts must not be empty."
    for part in content.get("parts") or ():
        data = [name for name in part if name in _DATA]
        if len(data) != 1:
            yield "part.data: required oneof field 'data' must have one initialized field"
        if not part.get("text", "x") and "thoughtSignature" not in part:
            yield "Unable to submit request because it has an empty text parameter."
        for blob in [part.get("inlineData"), *_inside(part.get("functionResponse"))]:
            if blob is not None and not (blob.get("mimeType") and _is_base64(blob.get("data"))):
                yield "inline_data: mime_type and base64 data are required"


def _inside(response: Json | None) -> list[Json]:
    return [part["inlineData"] for part in (response or {}).get("parts") or () if "inlineData" in part]


def _is_base64(data: Any) -> bool:
    try:
        return isinstance(data, str) and bool(base64.b64decode(data, altchars=b"-_" if "-" in data else None))
    except ValueError:
        return False


def _calls(content: Json, kind: str) -> list[Json]:
    return [part[kind] for part in content["parts"] if kind in part]


def _turns(contents: list[Json]) -> Iterator[str]:
    roles = [content.get("role", "user") for content in contents]
    if roles[0] != "user" or roles[-1] != "user":
        yield "Please ensure that multiturn requests begin and end with a user role or a function response."
    if _calls(contents[0], "functionResponse"):
        yield "Please ensure that function response turn comes immediately after a function call turn."
    for before, content in pairwise(contents):
        answers = _calls(content, "functionResponse")
        if before.get("role") == content.get("role") and not _calls(before, "functionResponse"):
            yield "Please ensure that multiturn requests alternate between user and model."
        if answers and len(answers) != len(content["parts"]):
            yield "Please ensure that a function response turn holds nothing but function responses."
        yield from _pairs(_calls(before, "functionCall"), answers)


def _pairs(calls: list[Json], answers: list[Json]) -> Iterator[str]:
    """Each call has its response, in the very next turn: by its id, or by its place."""
    if len(calls) != len(answers):
        yield (
            "Please ensure that the number of function response parts is equal to the number of function call parts "
            "of the function call turn."
        )
        return
    by_id = {call["id"]: call for call in calls if call.get("id")}
    if len(by_id) != sum(bool(call.get("id")) for call in calls):
        yield "Function calls of one turn must have ids of their own."
    for call, answer in zip(calls, answers, strict=True):
        own = by_id.get(answer["id"]) if answer.get("id") else call
        if own is None or own.get("name") != answer.get("name") or bool(own.get("id")) != bool(answer.get("id")):
            yield "Please ensure that each function response has the name and the id of its function call."
        if not isinstance(answer.get("response"), dict):
            yield "function_response.response: Required field is not set."


def _tools(body: Json) -> Iterator[str]:
    declared = [each for tool in body.get("tools") or () for each in tool.get("functionDeclarations") or ()]
    names = [each.get("name", "") for each in declared]
    for name in names:
        if not _NAME.fullmatch(name):
            yield f"Invalid function name {name!r}. Must start with a letter or an underscore."
        if names.count(name) > 1:
            yield f"Duplicate function declaration found: {name}"
    for each in declared:
        yield from _schema(each.get("parametersJsonSchema", {}))
    config = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    mode, allowed = config.get("mode", "AUTO"), config.get("allowedFunctionNames")
    if mode not in {"AUTO", "ANY", "NONE", "VALIDATED"}:
        yield f"Invalid value at 'tool_config.function_calling_config.mode': {mode!r}"
    if mode == "ANY" and not declared:
        yield "Function calling config is set without function_declarations."
    if allowed is not None and (mode not in {"ANY", "VALIDATED"} or not {*allowed} <= {*names}):
        yield "allowed_function_names must name declared functions, and the mode must be ANY."


def _config(config: Json) -> Iterator[str]:
    thinking = config.get("thinkingConfig") or {}
    if "thinkingBudget" in thinking and "thinkingLevel" in thinking:
        yield "You can only set only one of thinking budget and thinking level."
    if str(thinking.get("thinkingLevel", "low")).lower() not in {"minimal", "low", "medium", "high"}:
        yield "Invalid value at 'generation_config.thinking_config.thinking_level'"
    if len(config.get("stopSequences") or ()) > MOST_STOPS:
        yield "stop_sequences: too many"
    if config.get("logprobs") is not None and not config.get("responseLogprobs"):
        yield "Logprobs is set without response_logprobs."
    if "responseJsonSchema" in config:
        if config.get("responseMimeType") != "application/json":
            yield "response_json_schema needs the response mime type application/json."
        yield from _schema(config["responseJsonSchema"])


def _schema(schema: Any) -> Iterator[str]:
    """The subset that is documented for `responseJsonSchema`."""
    if not isinstance(schema, dict):
        return
    for word in schema.keys() - _SCHEMA_WORDS:
        yield f'Unknown name "{word}" in a JSON schema.'
    if "$ref" in schema and any(not word.startswith("$") for word in schema):
        yield "Beside $ref nothing may stand in a JSON schema."
    for value in schema.get("enum") or ():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            yield "enum takes strings and numbers."
    for inner in _inner(schema):
        yield from _schema(inner)


def _inner(schema: Json) -> Iterator[Any]:
    yield from (schema.get(word) for word in ("items", "additionalProperties"))
    for word in ("anyOf", "oneOf", "prefixItems"):
        yield from schema.get(word) or ()
    for word in ("properties", "$defs"):
        yield from (schema.get(word) or {}).values()


def _signatures(parts: list[Json], model: str, memory: Memory) -> Iterator[str]:
    """A signature comes back as it was sent, on what it was sent with; a call's may not be left out."""
    for part in parts:
        given, call = part.get("thoughtSignature"), part.get("functionCall")
        if call is not None:
            for known in memory.thinking.get((model, call.get("id", "")), ()):
                if given != known["thoughtSignature"]:
                    yield f"Function call is missing a thought_signature in functionCall parts: {call['name']}."
            if given is not None and given not in {*UNSIGNED, sign_call(call)}:
                yield "Corrupted thought signature."
        elif given is not None and given not in {sign(part.get("text", "")), *UNSIGNED}:
            yield "Corrupted thought signature."
