"""A run as one message: what its stream adds up to (design rule 7: non-streaming = fold(streaming))."""

from collections.abc import Iterable
from typing import Any

from tailrace.dialects.base import FULL
from tailrace.dialects.messages.encode import UNSAY, MessagesEncoder
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.errors import InvalidJson
from tailrace.schema.request import RunRequest
from tailrace.schema.response import Response
from tailrace.wire.partial_json import parse_partial

Json = dict[str, Any]


class WholeMessage:
    """Takes a run's batches, in order from the first, and then tells the message."""

    def __init__(self) -> None:
        self._encoder = MessagesEncoder(FULL, unsays=True)
        self._fold = MessageFold()

    def take(self, batch: Batch) -> None:
        """The next batch."""
        self._fold.take(event for _, event in self._encoder.events(batch))

    def whole(self, _response: Response, _request: RunRequest) -> bytes:
        """The message, as JSON, of a run that has ended well: only its stream knows all that is told of it."""
        return codec.encode(self._fold.message)


class MessageFold:
    """Adds up the events of a stream; `message` is what they come to."""

    def __init__(self) -> None:
        self.message: Json = {}
        self._blocks: list[Json] = []
        self._block: Json = {}
        self._pieces: list[str] = []

    def take(self, events: Iterable[Json]) -> None:
        """The next events."""
        for event in events:
            match event["type"]:
                case "message_start":
                    self.message = event["message"]
                case "content_block_start":
                    self._block, self._pieces = event["content_block"], []
                    self._blocks.append(self._block)
                case "content_block_delta":
                    self._grow(event["delta"])
                case "content_block_stop" if self._pieces:
                    self._block["input"] = _input("".join(self._pieces))
                case "message_delta":
                    self._end(event)
                case name if name == UNSAY:
                    for index in event["indexes"]:
                        self._blocks[index].clear()

    def _grow(self, delta: Json) -> None:
        block = self._block
        match delta:
            case {"type": "input_json_delta", "partial_json": piece}:
                self._pieces.append(piece)
            case {"type": "text_delta", "text": text}:
                block["text"] += text
            case {"type": "thinking_delta", "thinking": text}:
                block["thinking"] += text
            case {"type": "citations_delta", "citation": citation}:
                block.setdefault("citations", []).append(citation)
            case _:  # a signature, or a compaction: these come in one piece
                block |= {name: value for name, value in delta.items() if name != "type"}

    def _end(self, event: Json) -> None:
        rest = {name: value for name, value in event.items() if name not in {"type", "delta", "usage"}}
        usage = {**self.message["usage"], **event["usage"]}
        content = [block for block in self._blocks if block]
        self.message |= {"content": content, **event["delta"], **rest, "usage": usage}


def _input(text: str) -> Any:
    """The tool's input; as far as it came where it was cut."""
    try:
        return codec.decode_any(text)
    except InvalidJson:
        value = parse_partial(text)
        return value if isinstance(value, dict) else {}
