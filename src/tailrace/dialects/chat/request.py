"""A chat request, read: checked by the protocol's own rules and put in canonical words. Pure.

Errors name the vendor's parameter. What a provider cannot do is for its adapter to refuse; here only what nobody behind
this server can do is refused: several choices, and sound.
"""

from typing import Any

from msgspec import Struct

from tailrace.dialects.chat import body as said
from tailrace.dialects.chat.body import ChatBody
from tailrace.dialects.chat.conversation import items_of
from tailrace.dialects.chat.words import Echo
from tailrace.schema import codec
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import OutputItem
from tailrace.schema.request import AllowedTools, AnyTool, AnyToolChoice, CustomTool, Generation, NamedToolChoice, Tool
from tailrace.schema.request import OutputFormat as Format

WIRE = "openai-chat-completions"
OWN_FIELDS = ("logit_bias", "prediction", "prompt_cache_retention", "web_search_options")


class ChatRequest(Struct, frozen=True, kw_only=True):
    """What was asked. `echo` is what the answer repeats of it; `store`: unlike at the vendor's, runs are kept (and can
    be resumed) unless the client says `store: false`."""

    model: str
    stream: bool
    store: bool
    metadata: dict[str, Any] | None
    input: list[OutputItem]
    generation: Generation
    echo: Echo


def read(data: bytes) -> ChatRequest:
    """The request from its JSON. Raises InvalidRequest, naming the parameter."""
    body = codec.decode(data, ChatBody)
    _check(body)
    tools = _tools(body)
    return ChatRequest(
        model=body.model,
        stream=bool(body.stream),
        store=body.store is not False,
        metadata=dict(body.metadata) if body.metadata else None,
        input=items_of(body.messages),
        generation=_generation(body, tools),
        echo=Echo(
            model=body.model,
            include_usage=bool(body.stream_options and body.stream_options.include_usage),
            legacy=bool(body.functions),
        ),
    )


def _check(body: ChatBody) -> None:
    """What the protocol forbids, and what nobody here can do."""
    if body.n not in {None, 1}:
        raise InvalidRequest("only one choice can be had per request", field="n")
    if body.audio is not None:
        raise InvalidRequest("audio is not supported", field="audio")
    if body.modalities not in (None, ["text"]):
        raise InvalidRequest("only text can be had", field="modalities")
    if body.stream_options is not None and not body.stream:
        raise InvalidRequest("only allowed where `stream` is true", field="stream_options")
    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise InvalidRequest("give `max_completion_tokens` or `max_tokens`, not both", field="max_tokens")
    if body.top_logprobs is not None and not body.logprobs:
        raise InvalidRequest("only allowed where `logprobs` is true", field="top_logprobs")
    if body.functions is not None and body.tools is not None:
        raise InvalidRequest("give `tools` or `functions`, not both", field="functions")
    if body.function_call is not None and not body.functions:
        raise InvalidRequest("only allowed where `functions` are given", field="function_call")


def _generation(body: ChatBody, tools: list[AnyTool]) -> Generation:
    own = {name: value for name in OWN_FIELDS if (value := getattr(body, name)) is not None}
    return Generation(
        tools=tools or None,
        tool_choice=_choice(body, tools),
        parallel_tool_calls=False if body.functions else body.parallel_tool_calls,  # the old form has one call's place
        reasoning_effort=body.reasoning_effort,
        max_output_tokens=body.max_completion_tokens or body.max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        stop=[body.stop] if isinstance(body.stop, str) else body.stop,
        seed=body.seed,
        frequency_penalty=body.frequency_penalty,
        presence_penalty=body.presence_penalty,
        top_logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        output_format=_format(body),
        verbosity=body.verbosity,
        service_tier=body.service_tier,
        prompt_cache_key=body.prompt_cache_key,
        user=body.safety_identifier or body.user,
        extra={WIRE: own} if own else None,
    )


def _format(body: ChatBody) -> Format | None:
    match body.response_format:
        case said.ObjectFormat():
            return Format(type="json_object")
        case said.SchemaFormat(json_schema=fit):
            return Format(
                type="json_schema", name=fit.name, description=fit.description, schema=fit.schema, strict=fit.strict
            )
        case _:
            return None


# --- tools --------------------------------------------------------------------------------------------------------


def _tools(body: ChatBody) -> list[AnyTool]:
    """The tools, by whichever name they go. Raises InvalidRequest where two have the same."""
    if body.functions:
        tools: list[AnyTool] = [_function(function) for function in body.functions]
        fields = [f"functions[{place}].name" for place in range(len(tools))]
    else:
        tools = [_tool(tool) for tool in body.tools or ()]
        fields = [f"tools[{place}]" for place in range(len(tools))]
    names = [tool.name for tool in tools if isinstance(tool, Tool | CustomTool)]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise InvalidRequest(f"the name {name!r} comes twice", field=fields[place])
    return tools


def _tool(tool: said.FunctionTool | said.CustomTool) -> AnyTool:
    if isinstance(tool, said.FunctionTool):
        return _function(tool.function)
    return CustomTool(name=tool.custom.name, description=tool.custom.description, format=tool.custom.format)


def _function(function: said.Function) -> Tool:
    return Tool(
        name=function.name, description=function.description, parameters=function.parameters, strict=function.strict
    )


def _choice(body: ChatBody, tools: list[AnyTool]) -> AnyToolChoice | None:
    offered = {tool.name for tool in tools if isinstance(tool, Tool | CustomTool)}
    match body.function_call if body.functions else body.tool_choice:
        case None | "auto" | "none" | "required" as plain:
            if plain == "required" and not offered:
                raise InvalidRequest("asks for a call, but no tools are offered", field="tool_choice")
            return plain if offered else None
        case said.ChooseAllowed(allowed_tools=allowed):
            names = [_named(choice, offered, "tool_choice.allowed_tools") for choice in allowed.tools]
            return AllowedTools(names=names, mode=allowed.mode)
        case said.Named() as named:
            return NamedToolChoice(name=_offered(named.name, offered, "function_call"))
        case choice:
            return NamedToolChoice(name=_named(choice, offered, "tool_choice"))


def _named(choice: said.ChooseFunction | said.ChooseCustom, offered: set[str], field: str) -> str:
    name = choice.function.name if isinstance(choice, said.ChooseFunction) else choice.custom.name
    return _offered(name, offered, field)


def _offered(name: str, offered: set[str], field: str) -> str:
    if name not in offered:
        raise InvalidRequest(f"no tool {name!r} is offered", field=field)
    return name
