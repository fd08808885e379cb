"""The messages of a chat request as canonical items, in order.

The protocol's own rules are kept here, because what breaks them would be mended further on and lost in silence: each
call is answered by the tool messages that follow it, and nothing else is answered.
"""

from collections.abc import Iterator, Sequence
from itertools import count

from tailrace.dialects.chat import body
from tailrace.dialects.chat.details import reasoning_of
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.items import (
    FilePart,
    FunctionCallItem,
    FunctionCallOutputItem,
    ImagePart,
    MessageItem,
    OutputItem,
    Part,
    ReasoningItem,
    RefusalPart,
    TextPart,
)


def items_of(messages: Sequence[body.Message]) -> list[OutputItem]:
    """The conversation. Raises InvalidRequest, naming the message at fault (as in `messages[2].tool_call_id`)."""
    reader = _Reader()
    items = [item for place, message in enumerate(messages) for item in reader.read(message, f"messages[{place}]")]
    reader.settle(f"messages[{len(messages) - 1}]")
    return items


class _Reader:
    """Reads message after message; knows which calls wait for their answers: call_id -> name, in call order."""

    def __init__(self) -> None:
        self._ids = (f"input_{number}" for number in count(1))
        self._legacy_ids = (f"call_{number}" for number in count(1))
        self._waiting: dict[str, str] = {}

    def read(self, message: body.Message, at: str) -> Iterator[OutputItem]:
        """The items of a message that stands `at` this place."""
        if not isinstance(message, body.ToolMessage | body.FunctionMessage):
            self.settle(at)
        match message:
            case body.SystemMessage() | body.DeveloperMessage() | body.UserMessage():
                yield self._said(message, at)
            case body.AssistantMessage():
                yield from self._assistant(message, at)
            case body.ToolMessage():
                yield self._answer(message, at)
            case body.FunctionMessage():
                yield self._legacy_answer(message, at)

    def settle(self, at: str) -> None:
        """Here no call may wait any more. Raises InvalidRequest."""
        if self._waiting:
            missing = ", ".join(self._waiting)
            raise InvalidRequest(f"before this, these calls want a message with their answer: {missing}", field=at)

    # --- one method per role --------------------------------------------------------------------------------------

    def _said(self, message: body.SystemMessage | body.DeveloperMessage | body.UserMessage, at: str) -> MessageItem:
        """Nobody else's wire knows participants by name, so that a name would be lost."""
        if message.name:
            raise InvalidRequest("names of participants are not supported", field=f"{at}.name")
        parts = _parts(message.content, f"{at}.content")
        return MessageItem(
            id=next(self._ids),
            origin="user" if isinstance(message, body.UserMessage) else "system",
            content=_text(parts),
            parts=None if _is_plain(parts) else parts,
        )

    def _assistant(self, message: body.AssistantMessage, at: str) -> Iterator[OutputItem]:
        if message.audio is not None:
            raise InvalidRequest("audio is not supported", field=f"{at}.audio")
        yield from self._reasoning(message)
        parts = _parts(message.content or "", f"{at}.content")
        if message.refusal:
            parts = [*parts, RefusalPart(refusal=message.refusal)]
        if parts:
            yield MessageItem(id=next(self._ids), content=_text(parts), parts=None if _is_plain(parts) else parts)
        for place, call in enumerate(message.tool_calls or ()):
            yield self._call(call, f"{at}.tool_calls[{place}]")
        if message.function_call is not None:
            said = message.function_call
            yield self._wait(next(self._legacy_ids), said.name, said.arguments, at)

    def _reasoning(self, message: body.AssistantMessage) -> Iterator[ReasoningItem]:
        """What was thought, as far as it comes back: the provider's own form of it where there is one."""
        opaques = reasoning_of(message.reasoning_details or ())
        text = message.reasoning_content or ""
        for place, opaque in enumerate(opaques):
            yield ReasoningItem(id=next(self._ids), content="" if place else text, opaque=opaque)
        if text and not opaques:
            yield ReasoningItem(id=next(self._ids), content=text)

    def _call(self, call: body.CallSaid, at: str) -> FunctionCallItem:
        if call.type == "custom":
            if call.custom is None:
                raise InvalidRequest("a custom call needs its `custom`", field=f"{at}.custom")
            return self._wait(call.id, call.custom.name, call.custom.input, at, is_custom=True)
        if call.function is None:
            raise InvalidRequest("a function call needs its `function`", field=f"{at}.function")
        return self._wait(call.id, call.function.name, call.function.arguments, at)

    def _wait(self, call_id: str, name: str, arguments: str, at: str, *, is_custom: bool = False) -> FunctionCallItem:
        """A call, which then waits for its answer. The arguments are opaque text, kept byte for byte."""
        if call_id in self._waiting:
            raise InvalidRequest(f"the id {call_id!r} comes twice", field=f"{at}.id")
        self._waiting[call_id] = name
        return FunctionCallItem(
            id=next(self._ids), name=name, arguments=arguments, call_id=call_id, kind="custom" if is_custom else None
        )

    def _answer(self, message: body.ToolMessage, at: str) -> FunctionCallOutputItem:
        if message.tool_call_id not in self._waiting:
            text = f"no call before it waits for an answer to {message.tool_call_id!r}"
            raise InvalidRequest(text, field=f"{at}.tool_call_id")
        parts = _parts(message.content, f"{at}.content")
        return self._output(message.tool_call_id, _text(parts), None if _is_plain(parts) else parts)

    def _legacy_answer(self, message: body.FunctionMessage, at: str) -> FunctionCallOutputItem:
        """Before there were ids, the name told which call was meant."""
        call_id = next((call_id for call_id, name in self._waiting.items() if name == message.name), None)
        if call_id is None:
            raise InvalidRequest(f"no call of {message.name!r} before it waits for an answer", field=f"{at}.name")
        return self._output(call_id, message.content or "", None)

    def _output(self, call_id: str, text: str, parts: list[Part] | None) -> FunctionCallOutputItem:
        del self._waiting[call_id]
        return FunctionCallOutputItem(
            id=next(self._ids), call_id=call_id, output=text, success=True, origin="user", parts=parts
        )


# --- content ------------------------------------------------------------------------------------------------------


def _parts(content: str | Sequence[body.UserPart | body.AssistantPart], at: str) -> list[Part]:
    if isinstance(content, str):
        return [TextPart(text=content)] if content else []
    return [_part(part, f"{at}[{place}]") for place, part in enumerate(content)]


def _part(part: body.UserPart | body.AssistantPart, at: str) -> Part:
    match part:
        case body.Text():
            return TextPart(text=part.text)
        case body.Refusal():
            return RefusalPart(refusal=part.refusal)
        case body.Image():
            return ImagePart(url=part.image_url.url, detail=part.image_url.detail)
        case body.File():
            return _file(part.file, f"{at}.file")
        case body.Audio():
            raise InvalidRequest("audio is not supported", field=f"{at}.input_audio")


def _file(file: body.FileData, at: str) -> FilePart:
    if file.file_data is not None and not file.file_data.startswith("data:"):
        raise InvalidRequest("must be a data URL, as in data:application/pdf;base64,…", field=f"{at}.file_data")
    if file.file_data is None and file.file_id is None:
        raise InvalidRequest("a file needs `file_data` or `file_id`", field=f"{at}.file_data")
    return FilePart(filename=file.filename, data=file.file_data, file_id=file.file_id)


def _is_plain(parts: Sequence[Part]) -> bool:
    return not parts or (len(parts) == 1 and isinstance(parts[0], TextPart))


def _text(parts: Sequence[Part]) -> str:
    """All visible text, joined; a refusal is visible, too (contract §1)."""
    texts = (part for part in parts if isinstance(part, TextPart | RefusalPart))
    return "".join(part.text if isinstance(part, TextPart) else part.refusal for part in texts)
