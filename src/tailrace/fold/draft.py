"""An item that still grows: chunks now, joined when somebody looks (never per delta, which would be quadratic)."""

from collections.abc import Callable
from typing import Any

from tailrace.schema.events import ItemDelta, ItemStart
from tailrace.schema.items import (
    CancelledItem,
    ErrorItem,
    FunctionCallItem,
    FunctionCallOutputItem,
    MessageItem,
    OutputItem,
    Part,
    ProviderItem,
    ReasoningItem,
    RefusalPart,
    ScriptExecutionItem,
    ScriptExecutionOutputItem,
)


class Text(list[str]):
    """Text that grows by chunks, appended as to a list; reading it joins what has come since the last reading."""

    __slots__ = ()

    def __init__(self, text: str = "") -> None:
        super().__init__((text,) if text else ())

    def __str__(self) -> str:
        if len(self) > 1:
            self[:] = ("".join(self),)
        return self[0] if self else ""


class Draft:
    """What is known of an open item."""

    __slots__ = ("_main", "_refusal", "_side", "start")

    def __init__(self, start: ItemStart) -> None:
        self.start = start
        self._main = Text(start.initial_content or start.arguments or start.code or "")
        self._refusal: Text | None = None
        self._side: dict[str, Text] = {}  # a provider item's channels, by name

    @classmethod
    def reopen(cls, item: OutputItem) -> "Draft":
        """The draft whose `item()` is `item`: for folding on from a snapshot."""
        draft = cls(_START[type(item)](item))
        match item:
            case MessageItem(parts=[RefusalPart(refusal=refusal)]):
                draft._refusal = Text(refusal)
            case ProviderItem(data=dict(data)):
                draft._side = {name: Text(text) for name, text in data.items()}
            case _:
                pass
        return draft

    def grow(self, delta: ItemDelta) -> None:
        """Take a delta: of the main text, or of a channel. Channels that only the final item shows are passed over."""
        if delta.channel is None:
            self._main.append(delta.delta_content)
        elif delta.channel == "refusal":
            self._refusal = Text() if self._refusal is None else self._refusal
            self._refusal.append(delta.delta_content)
            self._main.append(delta.delta_content)
        elif self.start.item_type == "provider_item":
            self._side.setdefault(delta.channel, Text()).append(delta.delta_content)

    def item(self) -> OutputItem:
        """The item as far as it has come."""
        return _BUILD[self.start.item_type](self, str(self._main))

    # --- one builder per item type ------------------------------------------------------------------------------

    def _message(self, text: str) -> OutputItem:
        parts: list[Part] | None = [RefusalPart(refusal=str(self._refusal))] if self._refusal is not None else None
        return MessageItem(id=self.start.item_id, content=text, origin=self._origin("agent"), parts=parts)

    def _reasoning(self, text: str) -> OutputItem:
        return ReasoningItem(id=self.start.item_id, content=text, origin=self._origin("agent"))

    def _function_call(self, text: str) -> OutputItem:
        start = self.start
        return FunctionCallItem(
            id=start.item_id, name=start.name or "", arguments=text, call_id=start.call_id or "", kind=start.kind
        )

    def _function_call_output(self, text: str) -> OutputItem:
        start = self.start
        return FunctionCallOutputItem(
            id=start.item_id, call_id=start.call_id or "", output=text, success=True, origin=self._origin("system")
        )

    def _script(self, text: str) -> OutputItem:
        return ScriptExecutionItem(id=self.start.item_id, code=text, language=self.start.language or "javascript")

    def _script_output(self, text: str) -> OutputItem:
        start = self.start
        return ScriptExecutionOutputItem(
            id=start.item_id, script_id=start.call_id or "", result=text, success=True, logs=[], operations=[],
            origin=self._origin("system"),
        )  # fmt: skip

    def _provider_item(self, text: str) -> OutputItem:
        data = {name: str(side) for name, side in self._side.items()}
        return ProviderItem(
            id=self.start.item_id, provider_type=self.start.provider_type or "", data=data, text=text or None
        )

    def _error(self, text: str) -> OutputItem:
        return ErrorItem(id=self.start.item_id, code="internal", message=text)

    def _cancelled(self, text: str) -> OutputItem:
        return CancelledItem(id=self.start.item_id, reason=text or None)

    def _origin(self, default: str) -> Any:
        return self.start.origin or default


_BUILD: dict[str, Callable[[Draft, str], OutputItem]] = {
    "message": Draft._message,
    "reasoning": Draft._reasoning,
    "function_call": Draft._function_call,
    "function_call_output": Draft._function_call_output,
    "script_execution": Draft._script,
    "script_execution_output": Draft._script_output,
    "provider_item": Draft._provider_item,
    "error": Draft._error,
    "cancelled": Draft._cancelled,
}

_START: dict[type, Callable[[Any], ItemStart]] = {
    MessageItem: lambda i: ItemStart(
        item_id=i.id, item_type="message", origin=i.origin, initial_content=i.content
    ),
    ReasoningItem: lambda i: ItemStart(
        item_id=i.id, item_type="reasoning", origin=i.origin, initial_content=i.content
    ),
    FunctionCallItem: lambda i: ItemStart(
        item_id=i.id, item_type="function_call", name=i.name, call_id=i.call_id, arguments=i.arguments,
        kind=i.kind,
    ),
    FunctionCallOutputItem: lambda i: ItemStart(
        item_id=i.id, item_type="function_call_output", origin=i.origin, call_id=i.call_id, initial_content=i.output
    ),
    ScriptExecutionItem: lambda i: ItemStart(
        item_id=i.id, item_type="script_execution", code=i.code, language=i.language
    ),
    ScriptExecutionOutputItem: lambda i: ItemStart(
        item_id=i.id, item_type="script_execution_output", origin=i.origin, call_id=i.script_id,
        initial_content=i.result,
    ),
    ProviderItem: lambda i: ItemStart(
        item_id=i.id, item_type="provider_item", provider_type=i.provider_type, initial_content=i.text
    ),
    ErrorItem: lambda i: ItemStart(item_id=i.id, item_type="error", initial_content=i.message),
    CancelledItem: lambda i: ItemStart(item_id=i.id, item_type="cancelled", initial_content=i.reason),
}  # fmt: skip


def start_of(item: OutputItem) -> ItemStart:
    """The `item_start` that announces `item` with all of its main text."""
    return _START[type(item)](item)
