"""A request of the Responses API in canonical words: how to answer, and what the answer repeats. Pure.

What only OpenAI's own wire has words for goes into `Generation.extra` under that wire's name; asked of another
provider, it is refused, unless it is a hint that cannot change the answer.
"""

from typing import Any

from tailrace.dialects.responses.body import ResponseBody, TextBody
from tailrace.dialects.responses.items import Json
from tailrace.dialects.responses.tools import WIRE, choice_of, tools_of
from tailrace.schema import codec
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.request import Generation, OutputFormat

ENCRYPTED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"
_WIRE_INCLUDES = (
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "web_search_call.action.sources",
    "web_search_call.results",
)
_WIRE_ONLY = ("prompt", "context_management", "moderation")
_HINTS = ("prompt_cache_retention", "prompt_cache_options", "safety_identifier")
# What the response repeats as it came (`whole.ECHO` has what it says otherwise).
_REPEATED = (
    "background",
    "frequency_penalty",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "presence_penalty",
    "previous_response_id",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "store",
    "temperature",
    "tool_choice",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
    "include",
)


def generation_of(body: ResponseBody, wire: str) -> Generation:
    """How the model is asked. Raises InvalidRequest, naming the parameter."""
    tools = tools_of(body.tools, body.input)
    reasoning, text = body.reasoning, body.text or TextBody()
    includes = _includes(body, wire)
    wants_logprobs = LOGPROBS in (body.include or ())
    return Generation(
        instructions=body.instructions,
        tools=tools or None,
        tool_choice=choice_of(body.tool_choice, tools),
        parallel_tool_calls=body.parallel_tool_calls,
        max_tool_calls=body.max_tool_calls,
        reasoning_effort=reasoning.effort if reasoning else None,
        reasoning_summary=(reasoning.summary or reasoning.generate_summary) if reasoning else None,
        max_output_tokens=body.max_output_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        frequency_penalty=body.frequency_penalty,
        presence_penalty=body.presence_penalty,
        top_logprobs=(body.top_logprobs or 0) if wants_logprobs else body.top_logprobs or None,
        output_format=_format(text),
        verbosity=text.verbosity,
        service_tier=body.service_tier,
        prompt_cache_key=body.prompt_cache_key,
        user=body.user or (None if wire == WIRE else body.safety_identifier),
        extra=_extra(body, wire, includes),
    )


def _format(text: TextBody) -> OutputFormat | None:
    wanted = text.format
    if wanted is None or wanted.type == "text":
        return None
    return OutputFormat(
        type=wanted.type,
        name=wanted.name,
        description=wanted.description,
        schema=wanted.schema,
        strict=wanted.strict,
    )


def _includes(body: ResponseBody, wire: str) -> list[str]:
    """What only the wire itself can add to its answer. Raises InvalidRequest."""
    wanted = []
    for place, name in enumerate(body.include or ()):
        if name in (ENCRYPTED, LOGPROBS):
            continue
        if name not in _WIRE_INCLUDES:
            raise InvalidRequest(f"there is no {name!r} to include", field=f"include[{place}]")
        if wire != WIRE:
            raise InvalidRequest(f"the provider has no {name!r} to include", field=f"include[{place}]")
        wanted.append(name)
    return wanted


def _extra(body: ResponseBody, wire: str, includes: list[str]) -> dict[str, dict[str, Any]] | None:
    said: Json = {name: getattr(body, name) for name in _WIRE_ONLY if getattr(body, name) is not None}
    choice = body.tool_choice
    if isinstance(choice, dict) and choice.get("type") not in {"function", "custom", "allowed_tools"}:
        said["tool_choice"] = choice
    reasoning = body.reasoning
    more = {"context": reasoning.context, "mode": reasoning.mode} if reasoning else {}
    if any(more.values()):
        said["reasoning"] = {name: value for name, value in more.items() if value is not None}
    if wire != WIRE:
        if said:
            raise InvalidRequest("the provider has no word for it", field=next(iter(said)))
        return None
    if includes:
        said["include"] = [ENCRYPTED, *includes, *([LOGPROBS] if LOGPROBS in (body.include or ()) else [])]
    if body.truncation == "auto":
        said["truncation"] = body.truncation
    said |= {name: getattr(body, name) for name in _HINTS if getattr(body, name) is not None}
    return {WIRE: said} if said else None


def asked_of(body: ResponseBody, model: str, *, open_responses: bool) -> Json:
    """What the response repeats of its request: the log holds it (`RunRequest.asked`)."""
    asked: Json = {"model": model}
    given = ((name, getattr(body, name)) for name in _REPEATED)
    asked |= {name: value for name, value in given if value is not None}
    if body.tools:
        asked["tools"] = [_said_tool(tool) for tool in body.tools]
    if body.text is not None:
        asked["text"] = _said_text(body.text)
    if body.reasoning is not None:
        summary = body.reasoning.summary or body.reasoning.generate_summary
        asked["reasoning"] = {"effort": body.reasoning.effort, "summary": summary}
    if body.conversation_id is not None:
        asked["conversation"] = {"id": body.conversation_id}
    if asked.get("service_tier") == "auto":
        del asked["service_tier"]
    return {**asked, "open_responses": True} if open_responses else asked


def _said_tool(tool: Json) -> Json:
    if tool.get("type") != "function":
        return tool
    return {**tool, **{name: tool.get(name) for name in ("description", "parameters", "strict")}}


def _said_text(text: TextBody) -> Json:
    wanted: Json = codec.to_builtins(text.format) if text.format is not None else {"type": "text"}
    if wanted["type"] == "json_schema":
        wanted = {**wanted, "description": wanted.get("description"), "strict": bool(wanted.get("strict"))}
    return {"format": wanted, **({"verbosity": text.verbosity} if text.verbosity else {})}
