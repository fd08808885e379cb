"""What `POST /v1/chat/completions` takes (https://platform.openai.com/docs/api-reference/chat/create).

A parameter that is not here is refused and named. Only an assistant's message may hold more than is known: it is an
echo of what some server said, and servers say more than the vendor does. `null` is as good as absent.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from tailrace.schema.request import ReasoningEffort

Json = dict[str, Any]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Positive = Annotated[int, Meta(gt=0)]
Name = Annotated[str, Meta(min_length=1)]


class _Strict(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """An object with no other members than its own."""


class _Part(Struct, tag_field="type", kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A content part, told apart by `type`."""


# --- content ------------------------------------------------------------------------------------------------------


class Text(_Part, tag="text", kw_only=True, frozen=True):
    """Visible text."""

    text: str


class ImageUrl(_Strict, kw_only=True, frozen=True):
    """Where an image is: an address or a data URL."""

    url: Name
    detail: Literal["auto", "low", "high", "original"] | None = None


class Image(_Part, tag="image_url", kw_only=True, frozen=True):
    """An image."""

    image_url: ImageUrl


class Audio(_Part, tag="input_audio", kw_only=True, frozen=True):
    """Sound: known so that it can be refused by name."""

    input_audio: Any


class FileData(_Strict, kw_only=True, frozen=True):
    """A document: its bytes as a data URL, or the provider's id of it."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class File(_Part, tag="file", kw_only=True, frozen=True):
    """A document."""

    file: FileData


class Refusal(_Part, tag="refusal", kw_only=True, frozen=True):
    """What the assistant said when it refused."""

    refusal: str


UserPart = Text | Image | Audio | File
AssistantPart = Text | Refusal


# --- messages -----------------------------------------------------------------------------------------------------


class _Message(Struct, tag_field="role", kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A message, told apart by `role`."""


class SystemMessage(_Message, tag="system", kw_only=True, frozen=True):
    """Instructions."""

    content: str | list[Text]
    name: str | None = None


class DeveloperMessage(_Message, tag="developer", kw_only=True, frozen=True):
    """Instructions, by the name that newer models know them under."""

    content: str | list[Text]
    name: str | None = None


class UserMessage(_Message, tag="user", kw_only=True, frozen=True):
    """What the user says and shows."""

    content: str | list[UserPart]
    name: str | None = None


class FunctionSaid(Struct, kw_only=True, frozen=True):
    """A function's name and the arguments that the model gave it, as JSON text."""

    name: Name
    arguments: str = ""


class CustomSaid(Struct, kw_only=True, frozen=True):
    """A custom tool's name and the free text that the model gave it."""

    name: Name
    input: str = ""


class CallSaid(Struct, kw_only=True, frozen=True):
    """A call that the assistant made: a `function` or a `custom` one."""

    id: Name
    type: Literal["function", "custom"] = "function"
    function: FunctionSaid | None = None
    custom: CustomSaid | None = None


class AssistantMessage(Struct, tag_field="role", tag="assistant", kw_only=True, frozen=True):
    """What the model said: echoed, with what other servers added to it (`reasoning_content`, `reasoning_details`)."""

    content: str | list[AssistantPart] | None = None
    refusal: str | None = None
    tool_calls: list[CallSaid] | None = None
    function_call: FunctionSaid | None = None
    audio: Any = None
    reasoning_content: str | None = None
    reasoning_details: list[Any] | None = None


class ToolMessage(_Message, tag="tool", kw_only=True, frozen=True):
    """What a tool answered."""

    tool_call_id: Name
    content: str | list[UserPart]
    name: str | None = None


class FunctionMessage(_Message, tag="function", kw_only=True, frozen=True):
    """What a function answered, in the form from before there were tools."""

    name: Name
    content: str | None


Message = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage


# --- tools --------------------------------------------------------------------------------------------------------


class Function(_Strict, kw_only=True, frozen=True):
    """A function; `parameters` is a JSON Schema of an object."""

    name: Name
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None


class FunctionTool(_Part, tag="function", kw_only=True, frozen=True):
    """A function tool."""

    function: Function


class Custom(_Strict, kw_only=True, frozen=True):
    """A tool that takes free text."""

    name: Name
    description: str | None = None
    format: Json | None = None


class CustomTool(_Part, tag="custom", kw_only=True, frozen=True):
    """A custom tool."""

    custom: Custom


class Named(_Strict, kw_only=True, frozen=True):
    """A tool by its name."""

    name: Name


class ChooseFunction(_Part, tag="function", kw_only=True, frozen=True):
    """Call this function."""

    function: Named


class ChooseCustom(_Part, tag="custom", kw_only=True, frozen=True):
    """Call this custom tool."""

    custom: Named


class Allowed(_Strict, kw_only=True, frozen=True):
    """Which of the tools may be called; each entry has the form of a choice."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[ChooseFunction | ChooseCustom], Meta(min_length=1)]


class ChooseAllowed(_Part, tag="allowed_tools", kw_only=True, frozen=True):
    """Call one of these."""

    allowed_tools: Allowed


ToolChoice = Literal["auto", "none", "required"] | ChooseFunction | ChooseCustom | ChooseAllowed


# --- the rest -----------------------------------------------------------------------------------------------------


class PlainFormat(_Part, tag="text", kw_only=True, frozen=True):
    """Any text."""


class ObjectFormat(_Part, tag="json_object", kw_only=True, frozen=True):
    """Any JSON object."""


class JsonSchema(_Strict, kw_only=True, frozen=True):
    """A named JSON Schema."""

    name: Name
    description: str | None = None
    schema: Json | None = None
    strict: bool | None = None


class SchemaFormat(_Part, tag="json_schema", kw_only=True, frozen=True):
    """JSON that fits a schema."""

    json_schema: JsonSchema


class StreamOptions(_Strict, kw_only=True, frozen=True):
    """`include_obfuscation` asks for padding, which no stream of ours has."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatBody(_Strict, kw_only=True, frozen=True):
    """The request. What stands behind the blank line goes only to providers that speak this protocol themselves."""

    model: Name
    messages: Annotated[list[Message], Meta(min_length=1)]
    n: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: bool | None = None
    metadata: Annotated[dict[str, str], Meta(max_length=16)] | None = None
    max_tokens: Positive | None = None
    max_completion_tokens: Positive | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[FunctionTool | CustomTool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: list[Function] | None = None
    function_call: Literal["auto", "none"] | Named | None = None
    response_format: PlainFormat | ObjectFormat | SchemaFormat | None = None
    reasoning_effort: ReasoningEffort | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    modalities: list[str] | None = None
    audio: Any = None
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    logit_bias: dict[str, float] | None = None
    prediction: Json | None = None
    prompt_cache_retention: str | None = None
    web_search_options: Json | None = None
