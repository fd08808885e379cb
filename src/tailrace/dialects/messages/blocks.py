"""An item as a content block: how it begins, grows and stops on a Messages stream
(https://platform.claude.com/docs/en/build-with-claude/streaming).

A block speaks in events without their index, which whoever puts the blocks in a row gives them. What an item says that
has no word here (pictures, other vendors' annotations and server items) is left to the native view, and never
paraphrased.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from tailrace.dialects.messages.signature import is_redacted, signature_of
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson
from tailrace.schema.events import ItemDelta, ItemStart
from tailrace.schema.items import FunctionCallItem, MessageItem, OutputItem, ProviderItem, ReasoningItem, TextPart

Json = dict[str, Any]

# The vendor's own blocks: they come from its wire and go back there whole.
SERVER_BLOCKS = frozenset({
    "advisor_tool_result", "bash_code_execution_tool_result", "code_execution_tool_result", "compaction",
    "container_upload", "fallback", "mcp_tool_result", "mcp_tool_use", "server_tool_use",
    "text_editor_code_execution_tool_result", "tool_search_tool_result", "web_fetch_tool_result",
    "web_search_tool_result",
})  # fmt: skip

_CITATIONS = frozenset({
    "char_location", "content_block_location", "page_location", "search_result_location", "web_search_result_location",
})  # fmt: skip


class Thinker(NamedTuple):
    """Whose model call an item is of."""

    provider_id: str
    model_id: str


class Event(NamedTuple):
    """An event of a block: its type, and the field that it carries, if any."""

    type: str
    field: str = ""
    value: Json | None = None


class Block:
    """A block in the making. `out`: what it has to say since somebody took it; `is_done`: there will be no more.

    `is_broken`: it stopped as half of something that must be whole to be used.
    """

    def __init__(self, start: ItemStart, thinker: Thinker) -> None:
        self.out: list[Event] = []
        self.is_done = False
        self.is_broken = False
        self._is_open = False
        self._thinker = thinker
        self._sent: list[str] = []
        self._start(start)

    def _start(self, start: ItemStart) -> None:
        """The item begins."""

    def grow(self, delta: ItemDelta) -> None:
        """The item grows."""

    def end(self, final: OutputItem | None) -> None:
        """The item has ended; `final` is None where it failed or was called off."""
        if final is not None:
            self._complete(final)
        elif self._is_open:
            self._break_off()
        if self._is_open:
            self.out.append(Event("content_block_stop"))
        self.is_done = True

    def _complete(self, final: OutputItem) -> None:
        """Say what the deltas left unsaid: the final item is authoritative."""

    def _break_off(self) -> None:
        """Say what a block cannot stop without."""

    def _open(self, content: Json) -> None:
        if not self._is_open:
            self._is_open = True
            self.out.append(Event("content_block_start", "content_block", content))

    def _delta(self, kind: str, field: str, value: Any) -> None:
        self.out.append(Event("content_block_delta", "delta", {"type": kind, field: value}))

    def _say(self, kind: str, field: str, text: str) -> None:
        if text:
            self._sent.append(text)
            self._delta(kind, field, text)

    def _rest(self, text: str) -> str:
        """What of `text` has not been sent; nothing where something else was, which cannot be taken back."""
        sent = "".join(self._sent)
        return text[len(sent) :] if text.startswith(sent) else ""


class TextBlock(Block):
    """A message, refusals included."""

    def _start(self, start: ItemStart) -> None:
        self._cited = 0
        self._open({"type": "text", "text": ""})
        self._say("text_delta", "text", start.initial_content or "")

    def grow(self, delta: ItemDelta) -> None:
        """Text, or a citation."""
        if delta.channel in {None, "refusal"}:
            self._say("text_delta", "text", delta.delta_content)
        elif delta.channel == "annotation":
            self._cite(_annotation(delta.delta_content))

    def _complete(self, final: OutputItem) -> None:
        if isinstance(final, MessageItem):
            self._say("text_delta", "text", self._rest(final.content))
            annotations = [
                each for part in final.parts or () if isinstance(part, TextPart) for each in part.annotations or ()
            ]
            for annotation in annotations[self._cited :]:
                self._cite(annotation)

    def _cite(self, annotation: Any) -> None:
        self._cited += 1
        if isinstance(annotation, dict) and annotation.get("type") in _CITATIONS:
            self._delta("citations_delta", "citation", annotation)


def _annotation(text: str) -> Any:
    try:
        return codec.decode_any(text)
    except InvalidJson:
        return None


class ThinkingBlock(Block):
    """Reasoning. It begins when there is something to read, or at its end: only then is it known to be redacted."""

    def _start(self, start: ItemStart) -> None:
        self._think(start.initial_content or "")

    def grow(self, delta: ItemDelta) -> None:
        """What is shown of the reasoning."""
        if delta.channel is None:
            self._think(delta.delta_content)

    def _think(self, text: str) -> None:
        if text:
            self._open({"type": "thinking", "thinking": "", "signature": ""})
            self._say("thinking_delta", "thinking", text)

    def _complete(self, final: OutputItem) -> None:
        if not isinstance(final, ReasoningItem):
            return
        if is_redacted(final) and final.opaque is not None and not self._is_open:
            self._open({"type": "redacted_thinking", "data": final.opaque.data})
            return
        self._think(self._rest(final.content))
        if final.opaque is not None:
            self._open({"type": "thinking", "thinking": "", "signature": ""})
        if self._is_open:
            self._delta("signature_delta", "signature", signature_of(final, *self._thinker))

    def _break_off(self) -> None:
        self._delta("signature_delta", "signature", "")  # unsigned: it will not be taken for thinking again


class ToolUseBlock(Block):
    """A function call. It begins when its name and id are known, its input when it is sure to be an object.

    What is no object (a custom tool's free text, a broken call) is said as `{"input": …}` at the end.
    """

    def _start(self, start: ItemStart) -> None:
        self._held: list[str] | None = []  # None: the input is an object, and flows
        self._begin(start.name, start.call_id)
        self._input(start.arguments or "")

    def grow(self, delta: ItemDelta) -> None:
        """A piece of the arguments' JSON text."""
        if delta.channel is None:
            self._input(delta.delta_content)

    def _begin(self, name: str | None, call_id: str | None) -> None:
        if name and call_id:
            self._open({"type": "tool_use", "id": call_id, "name": name, "input": {}})

    def _input(self, piece: str) -> None:
        if self._held is not None:
            self._held.append(piece)
            piece = "".join(self._held)
            if not (self._is_open and piece.lstrip().startswith("{")):
                return
            self._held = None
        self._say("input_json_delta", "partial_json", piece)

    def _complete(self, final: OutputItem) -> None:
        if not isinstance(final, FunctionCallItem):
            return
        self._begin(final.name or "unnamed", final.call_id or final.id)
        said = final.arguments
        if self._held is not None and not said.lstrip().startswith("{"):
            said = codec.encode({"input": said}).decode() if said.strip() else ""
        self._say("input_json_delta", "partial_json", self._rest(said))

    def _break_off(self) -> None:
        self.is_broken = True


class ServerBlock(Block):
    """A block of the vendor's own; its input, and a compaction's text, come as a delta, as the vendor sends them."""

    def _complete(self, final: OutputItem) -> None:
        if not isinstance(final, ProviderItem) or not isinstance(final.data, dict):
            return
        data = {**final.data, "type": final.provider_type}
        if data["type"] == "compaction":
            self._open({"type": "compaction", "content": None})
            rest = {name: value for name, value in data.items() if name != "type"}
            self.out.append(Event("content_block_delta", "delta", {"type": "compaction_delta", **rest}))
        elif "input" in data:
            self._open({**data, "input": {}})
            self._delta("input_json_delta", "partial_json", codec.encode(data["input"]).decode())
        else:
            self._open(data)


_BLOCKS: dict[str, Callable[[ItemStart, Thinker], Block]] = {
    "message": TextBlock,
    "reasoning": ThinkingBlock,
    "function_call": ToolUseBlock,
}


def block_of(start: ItemStart, thinker: Thinker) -> Block | None:
    """The block that an item becomes; None for what this protocol has no word for, and for what is not the model's."""
    if start.origin not in {None, "agent"}:
        return None
    if start.item_type == "provider_item":
        return ServerBlock(start, thinker) if start.provider_type in SERVER_BLOCKS else None
    make = _BLOCKS.get(start.item_type)
    return make(start, thinker) if make is not None else None
