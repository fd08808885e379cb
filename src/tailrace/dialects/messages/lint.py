"""The rules of a Messages stream (Anthropic: Messages streaming, extended thinking, fine-grained tool streaming)."""

from collections.abc import Iterator
from dataclasses import dataclass

from tailrace.dialects.framing import Framing
from tailrace.dialects.lint import Event, NoneType, Rule, Ruleset, Shape, misfits, number_of
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson

SHAPES: dict[str, Shape] = {
    "message_start": {
        "message": {
            "id": str,
            "type": frozenset({"message"}),
            "role": frozenset({"assistant"}),
            "model": str,
            "content": list,
            "stop_reason": (str, NoneType),
            "stop_sequence": (str, NoneType),
        }
    },
    "content_block_start": {"index": int, "content_block": {"type": str}},
    "content_block_delta": {"index": int, "delta": {"type": str}},
    "content_block_stop": {"index": int},
    "message_delta": {"delta": {"stop_reason": (str, NoneType), "stop_sequence": (str, NoneType)}},
    "message_stop": {},
    "ping": {},
    "error": {"error": {"type": str, "message": str}},
}
DELTA_SHAPES: dict[str, Shape] = {
    "text_delta": {"text": str},
    "citations_delta": {"citation": dict},
    "input_json_delta": {"partial_json": str},
    "thinking_delta": {"thinking": str},
    "signature_delta": {"signature": str},
}
BLOCK_SHAPES: dict[str, Shape] = {
    "text": {"text": str},
    "tool_use": {"id": str, "name": str, "input": dict},
    "server_tool_use": {"id": str, "name": str, "input": dict},
    "mcp_tool_use": {"id": str, "name": str, "input": dict},
    "thinking": {"thinking": str},
    "redacted_thinking": {"data": str},
}
# What a block may grow by; a block of another type comes whole, or by deltas that only its vendor knows.
DELTAS = {
    "text": frozenset({"text_delta", "citations_delta"}),
    "tool_use": frozenset({"input_json_delta"}),
    "server_tool_use": frozenset({"input_json_delta"}),
    "mcp_tool_use": frozenset({"input_json_delta"}),
    "thinking": frozenset({"thinking_delta", "signature_delta"}),
    "redacted_thinking": frozenset[str](),
}
STOP_REASONS = frozenset(
    {
        "end_turn",
        "max_tokens",
        "stop_sequence",
        "tool_use",
        "pause_turn",
        "refusal",
        "model_context_window_exceeded",
        "compaction",
    }
)
CUT = frozenset({"max_tokens", "refusal", "model_context_window_exceeded"})  # the last block may then be half of one


@dataclass(slots=True)
class Block:
    """The content block that is open: what it is, and what it has grown to."""

    index: int
    type: str
    pieces: str = ""  # of its input
    last_delta: str = ""


class Stream:
    """How far a Messages stream has come."""

    def __init__(self) -> None:
        self.has_begun = False
        self.ended = False
        self.blocks = 0
        self.open: Block | None = None
        self.broken_input: Block | None = None
        self.stop_reason: str | None = None
        self.has_delta = False  # a message_delta has been
        self.output_tokens = 0

    def take(self, event: Event) -> None:
        """See lint.State."""
        match event["type"]:
            case "message_start":
                self.has_begun = True
                self._count(event["message"].get("usage"))
            case "content_block_start":
                self.open = Block(event["index"], event["content_block"]["type"])
                self.blocks += 1
            case "content_block_delta" if self.open:
                self.open.last_delta = event["delta"]["type"]
                self.open.pieces += event["delta"].get("partial_json", "")
            case "content_block_stop" if self.open:
                if not _is_input(self.open):
                    self.broken_input = self.open
                self.open = None
            case "message_delta":
                self.has_delta = True
                self.stop_reason = event["delta"]["stop_reason"] or self.stop_reason
                self._count(event.get("usage"))
            case "message_stop" | "error":
                self.ended = True

    def skip(self, event: Event) -> None:
        """See lint.State."""
        del event

    def _count(self, usage: object) -> None:
        if isinstance(usage, dict):
            self.output_tokens = number_of(usage.get("output_tokens")) or self.output_tokens


def _is_input(block: Block) -> bool:
    if "input_json_delta" not in DELTAS.get(block.type, ()) or not block.pieces:
        return True
    try:
        return isinstance(codec.decode_any(block.pieces), dict)
    except InvalidJson:
        return False


def _known_type(_: Stream, event: Event) -> Iterator[str]:
    if str(event.get("type")) not in SHAPES:
        yield f"{event.get('type')!r} is no type of event"


def _shape(_: Stream, event: Event) -> Iterator[str]:
    found = list(misfits(event, SHAPES[event["type"]]))
    yield from found
    if found:
        return
    if event["type"] == "content_block_start":
        block = event["content_block"]
        yield from misfits(block, BLOCK_SHAPES.get(block["type"], {}), "content_block")
    elif event["type"] == "content_block_delta":
        delta = event["delta"]
        yield from misfits(delta, DELTA_SHAPES.get(delta["type"], {}), "delta")


def _after_end(stream: Stream, event: Event) -> Iterator[str]:
    if stream.ended:
        yield f"{event['type']} behind the end of the message"


def _start_first(stream: Stream, event: Event) -> Iterator[str]:
    if event["type"] == "message_start":
        if stream.has_begun:
            yield "a second message_start"
    elif not stream.has_begun and event["type"] not in {"ping", "error"}:
        yield f"{event['type']} before message_start"


def _start_empty(_: Stream, event: Event) -> Iterator[str]:
    if event["type"] == "message_start":
        message = event["message"]
        for name, empty in (("content", []), ("stop_reason", None), ("stop_sequence", None)):
            if message[name] != empty:
                yield f"`message.{name}` is {message[name]!r} at the start"


def _block_index(stream: Stream, event: Event) -> Iterator[str]:
    if event["type"] == "content_block_start" and event["index"] != stream.blocks:
        yield f"block {event['index']} begins, not block {stream.blocks}"


def _one_open(stream: Stream, event: Event) -> Iterator[str]:
    kind, block = event["type"], stream.open
    if kind == "content_block_start" and block is not None:
        yield f"block {event['index']} begins while block {block.index} is open"
    elif kind in {"content_block_delta", "content_block_stop"} and (block is None or block.index != event["index"]):
        yield f"{kind} of block {event['index']}, while {f'block {block.index}' if block else 'none'} is open"
    elif kind in {"message_delta", "message_stop"} and block is not None:
        yield f"{kind} while block {block.index} is open"


def _block_empty(_: Stream, event: Event) -> Iterator[str]:
    if event["type"] == "content_block_start":
        block = event["content_block"]
        for name in {"text": ["text"], "thinking": ["thinking"], "tool_use": ["input"]}.get(block["type"], []):
            if block[name]:
                yield f"a {block['type']} block begins with `{name}` {block[name]!r}"


def _delta_type(stream: Stream, event: Event) -> Iterator[str]:
    if event["type"] != "content_block_delta" or stream.open is None:
        return
    allowed, kind = DELTAS.get(stream.open.type), event["delta"]["type"]
    if allowed is not None and kind not in allowed:
        yield f"{kind} in a block of type {stream.open.type}"


def _signature(stream: Stream, event: Event) -> Iterator[str]:
    block = stream.open
    if block is None or block.type != "thinking" or event.get("index") != block.index:
        return
    if event["type"] == "content_block_delta" and block.last_delta == "signature_delta":
        yield f"{event['delta']['type']} behind the signature_delta of a thinking block"
    elif event["type"] == "content_block_stop" and block.last_delta != "signature_delta":
        yield "a thinking block stops without a signature_delta"


def _input_json(stream: Stream, event: Event) -> Iterator[str]:
    block = stream.broken_input
    if event["type"] != "message_delta" or block is None:
        return
    is_cut = event["delta"]["stop_reason"] in CUT and block.index == stream.blocks - 1
    if not is_cut:
        yield f"the input of block {block.index} is not the JSON of an object: {block.pieces[:40]!r}"


def _delta_last(stream: Stream, event: Event) -> Iterator[str]:
    if event["type"].startswith("content_block") and stream.has_delta:
        yield f"{event['type']} behind message_delta"
    elif event["type"] == "message_stop" and not stream.has_delta:
        yield "message_stop without a message_delta"


def _stop_reason(stream: Stream, event: Event) -> Iterator[str]:
    if event["type"] == "message_delta":
        reason = event["delta"]["stop_reason"]
        if reason is not None and reason not in STOP_REASONS:
            yield f"{reason!r} is no stop_reason"
    elif event["type"] == "message_stop" and stream.has_delta and stream.stop_reason is None:
        yield "no message_delta names a stop_reason"


def _usage(_: Stream, event: Event) -> Iterator[str]:
    match event["type"]:
        case "message_start":
            counts: Shape = {"input_tokens": int, "output_tokens": int}
            yield from misfits(event["message"], {"usage": counts}, "message")
        case "message_delta":
            yield from misfits(event, {"usage": {"output_tokens": int}})


def _usage_rises(stream: Stream, event: Event) -> Iterator[str]:
    usage = event.get("usage")
    if event["type"] == "message_delta" and isinstance(usage, dict):
        now = number_of(usage.get("output_tokens"))
        if now is not None and now < stream.output_tokens:
            yield f"`output_tokens` falls from {stream.output_tokens} to {now}"


def _terminal(stream: Stream) -> Iterator[str]:
    if not stream.ended:
        yield "the stream ends without message_stop or error"


_STREAM = "Anthropic, Messages streaming"
_TYPES = "Anthropic, Messages streaming, content block delta types"
RULES: tuple[Rule[Stream], ...] = (
    Rule("event-type", "An event is of a known type.", _STREAM, _known_type, gate=True),
    Rule("shape", "An event has its type's fields, each of its kind.", _STREAM, _shape, gate=True),
    Rule("after-terminal", "Nothing follows message_stop or an error.", _STREAM, _after_end, gate=True),
    Rule("start-first", "message_start comes first (but for pings and an error), once.", _STREAM, _start_first),
    Rule("start-empty", "The message begins without content or stop_reason.", _STREAM, _start_empty),
    Rule("block-index", "Blocks are counted 0, 1, 2, …", _STREAM, _block_index),
    Rule("one-open-block", "A block starts, grows and stops before the next one, and before message_delta.", _STREAM,
         _one_open),
    Rule("block-empty", "Text, thinking and tool_use begin empty.", _STREAM, _block_empty),
    Rule("delta-type", "A delta is of a type that its block grows by.", _TYPES, _delta_type),
    Rule("signature", "A thinking block's last delta is its signature_delta.",
         "Anthropic, extended thinking, streaming", _signature),
    Rule("input-json", "The pieces of a tool's input are the JSON of an object (unless the answer was cut there).",
         _TYPES, _input_json),
    Rule("delta-last", "message_delta comes after all blocks and before message_stop.", _STREAM, _delta_last),
    Rule("stop-reason", "A message_delta names a known stop_reason.", "Anthropic, stop reasons", _stop_reason),
    Rule("usage", "message_start and message_delta have counts of tokens.", _STREAM, _usage),
    # Only what was put out: the count of what went in falls where the provider has compacted it.
    Rule("usage-rises", "output_tokens are cumulative: they do not fall.", _STREAM, _usage_rises),
    Rule("terminal", "The stream ends with message_stop, or with an error.", _STREAM, at_end=_terminal),
)  # fmt: skip
FRAMING = Framing(named=_STREAM, no_done=_STREAM, ids="vendor")
RULESET = Ruleset("messages", FRAMING, RULES, Stream)
