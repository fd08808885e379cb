"""The rules of a stream of chat completion chunks (OpenAI API reference, the chat completion chunk object)."""

from collections.abc import Iterator
from dataclasses import dataclass

from tailrace.dialects.framing import Framing
from tailrace.dialects.lint import Event, NoneType, Rule, Ruleset, Shape, misfits
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson

TEXT = (str, NoneType)
CHUNK: Shape = {
    "id": str,
    "created": int,
    "model": str,
    "choices": [{"index": int, "delta": dict, "finish_reason": TEXT}],
    "usage?": (dict, NoneType),
}
_FUNCTION: Shape = {"name?": str, "arguments?": str}
DELTA: Shape = {
    "role?": str,
    "content?": TEXT,
    "refusal?": TEXT,
    "reasoning_content?": TEXT,
    "function_call?": _FUNCTION,
    "tool_calls?": [
        {"index": int, "id?": str, "type?": str, "function?": _FUNCTION, "custom?": {"name?": str, "input?": str}}
    ],
}
ERROR: Shape = {"error": {"message": str}}
FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
CONSTANT = ("id", "created", "model")


@dataclass(slots=True)
class Call:
    """A tool call: what its pieces add up to."""

    is_custom: bool
    arguments: str = ""


class Stream:
    """How far a stream of chunks has come."""

    def __init__(self) -> None:
        self.head: Event | None = None
        self.has_choice = False
        self.calls: dict[int, Call] = {}  # by index, in the order they began
        self.legacy_call = False
        self.finish_reason: str | None = None
        self.has_usage = False
        self.has_error = False

    @property
    def ended(self) -> bool:
        """See lint.State."""
        return self.has_error or self.finish_reason is not None

    def take(self, event: Event) -> None:
        """See lint.State."""
        if "error" in event:
            self.has_error = True
            return
        self.head = self.head or event
        self.has_usage |= event.get("usage") is not None
        for choice in event["choices"]:
            self.has_choice = True
            self.finish_reason = choice["finish_reason"] or self.finish_reason
            self.legacy_call |= "function_call" in choice["delta"]
            for piece in choice["delta"].get("tool_calls", []):
                self._call(piece)

    def skip(self, event: Event) -> None:
        """See lint.State."""
        del event

    def _call(self, piece: Event) -> None:
        call = self.calls.setdefault(piece["index"], Call("custom" in piece))
        call.arguments += piece.get("function", {}).get("arguments", "")


def _deltas(event: Event) -> list[Event]:
    return [choice["delta"] for choice in event.get("choices", [])]


def _pieces(event: Event) -> list[Event]:
    return [piece for delta in _deltas(event) for piece in delta.get("tool_calls", [])]


def _shape(_: Stream, event: Event) -> Iterator[str]:
    if "error" in event:
        yield from misfits(event, ERROR)
        return
    found = list(misfits(event, CHUNK))
    yield from found
    if not found:
        for number, delta in enumerate(_deltas(event)):
            yield from misfits(delta, DELTA, f"choices[{number}].delta")


def _after_end(stream: Stream, event: Event) -> Iterator[str]:
    if stream.has_error:
        yield "a chunk behind the error"
    elif stream.has_usage:
        yield "a chunk behind the usage"


def _object(_: Stream, event: Event) -> Iterator[str]:
    if "error" not in event and event.get("object") != "chat.completion.chunk":
        yield f"`object` is {event.get('object')!r}"


def _constant(stream: Stream, event: Event) -> Iterator[str]:
    if stream.head is not None and "error" not in event:
        for name in CONSTANT:
            if event[name] != stream.head[name]:
                yield f"`{name}` was {stream.head[name]!r} and is {event[name]!r}"


def _one_choice(_: Stream, event: Event) -> Iterator[str]:
    indexes = [choice["index"] for choice in event.get("choices", [])]
    if indexes not in ([], [0]):
        yield f"choices with the indexes {indexes}"


def _choices_empty(_: Stream, event: Event) -> Iterator[str]:
    if "error" not in event and not event["choices"] and event.get("usage") is None:
        yield "no choice, and no usage"


def _role(stream: Stream, event: Event) -> Iterator[str]:
    for delta in _deltas(event):
        if not stream.has_choice and delta.get("role") != "assistant":
            yield f"the first delta has the role {delta.get('role')!r}"
        elif stream.has_choice and "role" in delta:
            yield "the role again: readers append it"


def _call_index(stream: Stream, event: Event) -> Iterator[str]:
    known = list(stream.calls)
    for piece in _pieces(event):
        if piece["index"] not in known:
            following = known[-1] + 1 if known else 0
            known.append(piece["index"])
            if piece["index"] != following:
                yield f"call {piece['index']} begins, not call {following}"


def _call_start(stream: Stream, event: Event) -> Iterator[str]:
    known = set(stream.calls)
    for piece in _pieces(event):
        is_first = piece["index"] not in known
        known.add(piece["index"])
        kind = "custom" if "custom" in piece else "function"
        name, call_id = piece.get(kind, {}).get("name"), piece.get("id")
        if is_first and not (name and call_id and piece.get("type") == kind):
            yield f"call {piece['index']} begins without its id, type and name"
        elif not is_first and (name or call_id):
            yield f"the id or name of call {piece['index']} again: readers append it"


def _finish(stream: Stream, event: Event) -> Iterator[str]:
    if stream.finish_reason is not None and event.get("choices"):
        yield f"a choice behind finish_reason {stream.finish_reason!r}"


def _finish_reason(_: Stream, event: Event) -> Iterator[str]:
    for choice in event.get("choices", []):
        reason = choice["finish_reason"]
        if reason is not None and reason not in FINISH_REASONS:
            yield f"{reason!r} is no finish_reason"


def _ends_with_calls(event: Event) -> bool:
    return any(choice["finish_reason"] == "tool_calls" for choice in event.get("choices", []))


def _finish_calls(stream: Stream, event: Event) -> Iterator[str]:
    if _ends_with_calls(event) and not stream.calls and not _pieces(event):
        yield "finish_reason is tool_calls, and there is none"


def _arguments(stream: Stream, event: Event) -> Iterator[str]:
    if not _ends_with_calls(event):
        return
    texts = {number: call.arguments for number, call in stream.calls.items() if not call.is_custom}
    for piece in _pieces(event):
        if "custom" not in piece:
            texts[piece["index"]] = texts.get(piece["index"], "") + piece.get("function", {}).get("arguments", "")
    for number, text in texts.items():
        try:
            codec.decode_any(text)
        except InvalidJson:
            yield f"the arguments of call {number} are not JSON: {text[:40]!r}"


def _usage(_: Stream, event: Event) -> Iterator[str]:
    usage = event.get("usage")
    if usage is None:
        return
    found = list(misfits(usage, {"prompt_tokens": int, "completion_tokens": int, "total_tokens": int}, "usage"))
    yield from found
    if not found and usage["total_tokens"] < usage["prompt_tokens"] + usage["completion_tokens"]:
        yield "`usage.total_tokens` is less than the sum of the others"


def _usage_last(stream: Stream, event: Event) -> Iterator[str]:
    if event.get("usage") is not None and "error" not in event:
        if event["choices"]:
            yield "usage on a chunk with a choice"
        elif stream.finish_reason is None:
            yield "usage before the finish_reason"


def _terminal(stream: Stream) -> Iterator[str]:
    if not stream.ended:
        yield "the stream ends without a finish_reason or an error"


_CHUNK = "OpenAI API reference, chat completion chunk"
_USAGE = "OpenAI API reference, stream_options.include_usage"
RULES: tuple[Rule[Stream], ...] = (
    Rule("shape", "A chunk has its fields, each of its kind; an error has a message.", _CHUNK, _shape, gate=True),
    Rule("after-terminal", "Nothing follows the usage or an error.", _USAGE, _after_end, gate=True),
    Rule("object", "`object` is chat.completion.chunk.", _CHUNK, _object),
    Rule("constant", "All chunks have the same id, created and model.", _CHUNK, _constant),
    Rule("one-choice", "There is one choice, with index 0.", _CHUNK + " (n = 1)", _one_choice),
    Rule("choices-empty", "Choices are empty in the usage chunk only.", _USAGE, _choices_empty),
    Rule("role", "The first delta, and no other, has the role: assistant.", _CHUNK, _role),
    Rule("call-index", "Tool calls are counted 0, 1, 2, …", _CHUNK + ", delta.tool_calls", _call_index),
    Rule("call-start", "A call's first piece, and no other, has its id and name.", _CHUNK + ", delta.tool_calls",
         _call_start),
    Rule("finish", "No choice follows the one with the finish_reason.", _CHUNK, _finish),
    Rule("finish-reason", "finish_reason is a known one.", _CHUNK, _finish_reason),
    Rule("finish-calls", "With finish_reason tool_calls there are calls.", _CHUNK, _finish_calls),
    Rule("call-arguments", "With finish_reason tool_calls, each function's arguments are JSON.",
         _CHUNK + ", delta.tool_calls", _arguments),
    Rule("usage", "Usage has prompt_tokens, completion_tokens and total_tokens: their sum, or more.", _USAGE, _usage),
    Rule("usage-last", "Usage comes behind the finish_reason, in a chunk without choices.", _USAGE, _usage_last),
    Rule("terminal", "The stream says how it ended: a finish_reason, or an error.", _CHUNK, at_end=_terminal),
)  # fmt: skip
FRAMING = Framing(unnamed=_CHUNK, done="OpenAI API reference, chat completions, stream", ids="vendor")
RULESET = Ruleset("chat", FRAMING, RULES, Stream)
