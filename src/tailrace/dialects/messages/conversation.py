"""The client's messages as items: a whole conversation, in order.

Each text block of the assistant's is a message of its own, so that on its own wire it goes back as it came. What has
no word here is refused with its place, never dropped.
"""

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from tailrace.dialects.messages.blocks import SERVER_BLOCKS
from tailrace.dialects.messages.body import (
    Base64,
    Content,
    Document,
    File,
    Image,
    Json,
    Message,
    PlainText,
    RedactedThinking,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Url,
    convert,
)
from tailrace.dialects.messages.signature import redacted, thought
from tailrace.schema import codec
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import (
    FilePart,
    FunctionCallItem,
    FunctionCallOutputItem,
    ImagePart,
    MessageItem,
    Opaque,
    OutputItem,
    Part,
    ProviderItem,
    TextPart,
)

_Said = Text | Image | Document
_Users = Text | Image | Document | ToolResult
_Assistants = Text | Thinking | RedactedThinking | ToolUse


class Home(NamedTuple):
    """Who is asked: unsealed signatures are taken for theirs where they speak this protocol."""

    provider_id: str
    model_id: str
    speaks_messages: bool

    @property
    def signer(self) -> tuple[str, str] | None:
        """Whose an unsealed signature is."""
        return (self.provider_id, self.model_id) if self.speaks_messages else None


def items_of(messages: list[Message], home: Home, first: int = 0, calls: Collection[str] = ()) -> list[OutputItem]:
    """The items, with ids `input_1`, `input_2`, …

    `first`: the place of the first message in the body; `calls`: the ids of the calls in what is kept of the
    conversation.

    Raises InvalidRequest with the place of what cannot be said, or of a tool's result that no call was before.
    """
    reader = _Reader(home, calls)
    for index, message in enumerate(messages, first):
        reader.take(message, f"messages.{index}.content")
    return reader.items


class _Reader:
    def __init__(self, home: Home, calls: Collection[str]) -> None:
        self.items: list[OutputItem] = []
        self._home = home
        self._calls = set(calls)  # of the assistant's last turn

    def take(self, message: Message, place: str) -> None:
        """Read one message."""
        blocks = message.content
        if isinstance(blocks, str):
            if not blocks and message.role == "user":
                raise InvalidRequest("a user message must not be empty", field=place)
            blocks = [{"type": "text", "text": blocks}]
        if message.role == "assistant":
            self._calls.clear()
            for index, block in enumerate(blocks):
                self._assistant(block, f"{place}.{index}")
        elif message.role == "user":
            self._user([(block, f"{place}.{index}") for index, block in enumerate(blocks)])
        else:
            texts = [convert(block, Text, f"{place}.{index}") for index, block in enumerate(blocks)]
            self._message("system", [TextPart(text=text.text) for text in texts])

    def _id(self) -> str:
        return f"input_{len(self.items) + 1}"

    def _message(self, origin: Any, parts: list[Part]) -> None:
        """Parts only where one plain text cannot say it."""
        if not parts:
            return
        plain = len(parts) == 1 and isinstance(parts[0], TextPart) and not parts[0].annotations
        text = "".join(part.text for part in parts if isinstance(part, TextPart))
        self.items.append(MessageItem(id=self._id(), content=text, origin=origin, parts=None if plain else parts))

    # --- the user's ----------------------------------------------------------------------------------------------

    def _user(self, blocks: list[tuple[Json, str]]) -> None:
        parts: list[Part] = []
        for block, place in blocks:
            said: _Users = convert(block, _Users, place)  # type: ignore[arg-type]  # a union is a type to msgspec
            if isinstance(said, ToolResult):
                self._message("user", parts)
                parts = []
                self._result(said, place)
            else:
                parts += _parts(said, place)
        self._message("user", parts)

    def _result(self, result: ToolResult, place: str) -> None:
        if result.tool_use_id not in self._calls:
            message = f"no `tool_use` block in the assistant's last turn has the id {result.tool_use_id!r}"
            raise InvalidRequest(message, field=f"{place}.tool_use_id")
        if isinstance(result.content, str):
            parts: list[Part] = [TextPart(text=result.content)] if result.content else []
        else:
            parts = [part for at, said in enumerate(result.content or ()) for part in _parts(said, f"{place}.{at}")]
        self.items.append(
            FunctionCallOutputItem(
                id=self._id(),
                call_id=result.tool_use_id,
                output="".join(part.text for part in parts if isinstance(part, TextPart)),
                success=not result.is_error,
                origin="user",
                parts=parts if len(parts) > 1 or any(not isinstance(part, TextPart) for part in parts) else None,
            )
        )

    # --- the assistant's -----------------------------------------------------------------------------------------

    def _assistant(self, block: Json, place: str) -> None:
        if block.get("type") in SERVER_BLOCKS:
            kept = {key: value for key, value in block.items() if key != "cache_control"}
            self.items.append(ProviderItem(id=self._id(), provider_type=block["type"], data=kept))
            return
        said: _Assistants = convert(block, _Assistants, place)  # type: ignore[arg-type]  # see above
        match said:
            case Text():
                self._message("agent", [TextPart(text=said.text, annotations=said.citations or None)])
            case Thinking():
                self.items.append(thought(self._id(), said.thinking, said.signature, self._home.signer))
            case RedactedThinking():
                self.items.append(redacted(self._id(), said.data, self._home.signer))
            case ToolUse():
                self._call(said)

    def _call(self, use: ToolUse) -> None:
        self._calls.add(use.id)
        self.items.append(
            FunctionCallItem(
                id=self._id(),
                name=use.name,
                arguments=codec.encode(use.input).decode(),
                call_id=use.id,
                opaque=self._caller(use.caller),
            )
        )

    def _caller(self, caller: Json | None) -> Opaque | None:
        """Who called, where it was not the model itself but a program of its: it must go back with the call."""
        signer = self._home.signer
        if signer is None or caller is None or caller.get("type", "direct") == "direct":
            return None
        return Opaque(
            provider_id=signer[0], model_id=signer[1], kind="caller", data=codec.encode(caller).decode()
        )  # fmt: skip


# --- parts ------------------------------------------------------------------------------------------------------


def _parts(block: _Said, place: str) -> Iterator[Part]:
    match block:
        case Text():
            yield TextPart(text=block.text)
        case Image():
            yield _image(block)
        case Document():
            yield from _document(block, place)


def _image(block: Image) -> Part:
    match block.source:
        case Base64(media_type=media_type, data=data):
            return ImagePart(url=f"data:{media_type};base64,{data}")
        case Url(url=url):
            return ImagePart(url=url)
        case File(file_id=file_id):
            return ImagePart(file_id=file_id)


def _document(block: Document, place: str) -> Iterator[Part]:
    if block.citations and block.citations.get("enabled"):
        raise InvalidRequest("citations of documents are not supported", field=f"{place}.citations")
    if block.context:
        yield TextPart(text=block.context)
    match block.source:
        case Base64(media_type=media_type, data=data):
            yield FilePart(filename=block.title, data=f"data:{media_type};base64,{data}")
        case Url(url=url):
            yield FilePart(filename=block.title, url=url)
        case File(file_id=file_id):
            yield FilePart(filename=block.title, file_id=file_id)
        case PlainText(data=data):
            yield TextPart(text=f"{block.title}\n\n{data}" if block.title else data)
        case Content(content=str() as text):
            yield TextPart(text=text)
        case Content(content=list() as inner):
            for each in inner:
                yield from _parts(each, place)
