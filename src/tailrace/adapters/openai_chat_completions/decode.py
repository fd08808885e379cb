"""What Chat Completions answer (https://platform.openai.com/docs/api-reference/chat-streaming).

OpenAI's own, and those of the many who copy it, each with habits of its own.

Only choice 0 becomes items; others travel as provider events. Nothing in this wire says where an item ends, so that
items end with the answer, and reasoning when other content begins. Counts come last, in a chunk without choices: the
answer ends with `[DONE]`, or with the bytes once a finish reason was seen.

What only some hosts do is read so only where their row says it (quirks.py, "The answer").
"""

from collections.abc import Callable
from typing import Any

from tailrace.adapters.base import DecodeContext
from tailrace.adapters.canonical import look_up
from tailrace.adapters.counts import Counts, openai_counts
from tailrace.adapters.errors import stream_error
from tailrace.adapters.growing import GrowingMessage, GrowingReasoning
from tailrace.adapters.openai_chat_completions.calls import Calls
from tailrace.adapters.openai_chat_completions.details import ReasoningDetails
from tailrace.adapters.openai_chat_completions.quirks import DEFAULTS, MODELS
from tailrace.adapters.openai_chat_completions.tidy import Tidy
from tailrace.adapters.reading import Json, dict_in, dicts_in, index_in, list_in, text_in, unknown_news
from tailrace.adapters.stream import StreamDecoder
from tailrace.schema.errors import ProviderError
from tailrace.schema.response import FinishReason

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
    "refusal": "refusal",
    "pause_turn": "pause",
}
# "Reasons" that say that the answer broke off.
_BROKEN = {"error": "server_error", "network_error": "server_error", "insufficient_system_resource": "overloaded"}

# Fields that are read, padding (`obfuscation`, `p`), and echoes of the request.
_CHUNK_KNOWN = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "error", "obfuscation", "p", "stream_options"}
)
_CHOICE_KNOWN = frozenset({"index", "delta", "message", "finish_reason", "logprobs", "usage", "error"})
_DELTA_KNOWN = frozenset(
    {
        "role",
        "index",
        "content",
        "refusal",
        "reasoning_content",
        "reasoning",
        "reasoning_text",
        "reasoning_details",
        "tool_calls",
        "function_call",
        "annotations",
        "images",
    }
)
_REASONING_NAMES = ("reasoning_content", "reasoning", "reasoning_text")
_SILENT = frozenset({"role", "index"})  # of a delta
_FLEETING = ("created", "obfuscation", "p")  # differ in each chunk and say nothing of the answer


class ChatDecoder(StreamDecoder):
    """Decodes openai-chat-completions (adapters/base.py Decoder)."""

    ANSWER = ("choices",)

    def __init__(self, context: DecodeContext) -> None:
        super().__init__(context)
        self._message: GrowingMessage | None = None
        self._reasoning: GrowingReasoning | None = None
        self._details = ReasoningDetails()
        self._calls = Calls(self._collector)
        self._finish_reason = ""
        self._has_choice = False
        self._envelope: Json = {}  # of the last chunk, without what is fleeting
        self._frame: Json = {}  # of the last choice, without what it adds to the answer
        self._is_whole = False  # does the choice at hand bring its message whole?
        self._usage: Json = {}
        row = look_up(context.model_id, DEFAULTS, MODELS, context.quirks)
        self._empty_length_is_overflow = row["empty_length_is_overflow"]
        special_tokens, cumulative = row["special_tokens"], row["cumulative_reasoning"]
        self._text = Tidy(special_tokens=True, cumulative=False) if special_tokens else None
        untidy = special_tokens or cumulative
        self._thoughts = Tidy(special_tokens=special_tokens, cumulative=cumulative) if untidy else None

    def _event(self, event: Json) -> None:
        choices = event.pop("choices", None)
        for name in _FLEETING:
            event.pop(name, None)
        if event != self._envelope:  # what repeats the chunk before has been read
            self._envelope = event
            self._read_envelope(event)
        if self.done or not isinstance(choices, list):
            return
        for choice in choices:
            if isinstance(choice, dict):
                self._choice(choice)

    def _read_envelope(self, event: Json) -> None:
        self._response_id = self._response_id or text_in(event, "id")
        self._model_id = self._model_id or text_in(event, "model")
        if event.get("usage") or "x_groq" in event:
            self._usage = dict_in(event, "usage") or dict_in(dict_in(event, "x_groq"), "usage") or self._usage
        self._collector.note(unknown_news(event, _CHUNK_KNOWN))
        if event.get("error"):
            self._fail(stream_error(event))

    def _answer(self, answer: Json) -> None:
        self._event(answer)
        if not self.done:
            self._sentinel()

    def _counts(self) -> Counts:
        return openai_counts(self._usage, "prompt_tokens", "completion_tokens")

    # --- choices -------------------------------------------------------------------------------------------------

    def _choice(self, choice: Json) -> None:
        if choice.get("index") and index_in(choice, "index"):
            self._collector.event("choice", choice)
            return
        self._has_choice = True
        # A chunk may bring the whole message so far beside its delta; the delta holds.
        self._is_whole = "delta" not in choice
        delta, logprobs = choice.pop("message" if self._is_whole else "delta", None), choice.pop("logprobs", None)
        is_new = choice != self._frame
        if is_new:
            self._frame = choice
            self._read_frame(choice)
        if isinstance(delta, dict):
            self._delta(delta)
        if isinstance(logprobs, dict):
            self._logprobs(logprobs)
        if is_new:
            self._check(choice)

    def _read_frame(self, choice: Json) -> None:
        """What a choice says beside its delta."""
        self._collector.note(unknown_news(choice, _CHOICE_KNOWN))
        if "usage" in choice:
            self._usage = dict_in(choice, "usage") or self._usage
        self._finish_reason = text_in(choice, "finish_reason") or self._finish_reason
        self.ending = bool(self._finish_reason)

    def _check(self, choice: Json) -> None:
        if choice.get("error"):
            self._fail(stream_error(choice))
        elif self._finish_reason in _BROKEN:
            self._fail(ProviderError(_BROKEN[self._finish_reason], f"the answer broke off: {self._finish_reason}"))

    def _delta(self, delta: Json) -> None:
        said = {name: value for name, value in delta.items() if value} if len(delta) > 1 else delta
        if len(said) == 1:  # as nearly always
            ((name, value),) = said.items()
            take = _TAKES.get(name)
            if take is not None:
                if value:
                    take(self, said)
                return
        said = {name: value for name, value in said.items() if value and name not in _SILENT}
        for take in dict.fromkeys(take for name, take in _TAKES.items() if name in said):
            take(self, said)
        for name, value in unknown_news(said, _DELTA_KNOWN).items():
            self._collector.event(name, value)

    def _content(self, delta: Json) -> None:
        content = delta["content"]
        if isinstance(content, str):
            self._say(content)
        elif isinstance(content, list):
            self._parts(content)
        else:
            self._collector.event("content", content)

    def _refusal(self, delta: Json) -> None:
        if text_in(delta, "refusal"):
            self._visible().refusal("refusal", delta["refusal"])

    def _annotations(self, delta: Json) -> None:
        for annotation in dicts_in(delta, "annotations"):
            self._visible().annotation("text", annotation)

    def _images(self, delta: Json) -> None:
        for image in dicts_in(delta, "images"):
            self._image(image)

    def _parts(self, parts: list[Any]) -> None:
        """Content as a list of parts, some of which are reasoning (Mistral)."""
        for part in parts:
            if not isinstance(part, dict):
                continue
            if part.get("type") == "thinking":
                thought = part.get("thinking")
                pieces = [text_in(piece, "text") for piece in dicts_in(part, "thinking")]
                self._thought(thought if isinstance(thought, str) else "".join(pieces))
            elif part.get("type") == "image_url":
                self._image(part)
            elif isinstance(part.get("text"), str):
                self._say(part["text"])
            else:
                self._collector.event("content_part", part)

    def _image(self, image: Json) -> None:
        url = text_in(dict_in(image, "image_url"), "url")
        if url:
            self._visible().image(f"image {url}", url)
        else:
            self._collector.event("content_part", image)

    def _say(self, text: str) -> None:
        if self._text is not None:
            text = self._text.feed(text)
        if text:
            self._visible().text("text", text)

    def _visible(self) -> GrowingMessage:
        if self._reasoning is not None:
            self._end_reasoning()
        if self._message is None:
            self._message = GrowingMessage(self._collector.start("message"))
        return self._message

    def _logprobs(self, logprobs: Json) -> None:
        if list_in(logprobs, "content"):
            self._visible().logprobs("text", list_in(logprobs, "content"))
        rest = unknown_news(logprobs, frozenset({"content"}))
        if rest:
            self._collector.event("logprobs", rest)

    def _call(self, delta: Json) -> None:
        entries = dicts_in(delta, "tool_calls")
        legacy = dict_in(delta, "function_call") if "function_call" in delta else None
        if legacy and (text_in(legacy, "name") or text_in(legacy, "arguments")):
            entries.append({"index": 0, "function": legacy})
        if entries and self._reasoning is not None:
            self._end_reasoning()
        for place, entry in enumerate(entries):
            self._calls.take(entry, place if self._is_whole else None)

    # --- reasoning -----------------------------------------------------------------------------------------------

    def _think(self, delta: Json) -> None:
        """The text stands under one of several names, the same under each that is there; or in the details only."""
        text = ""
        for name in _REASONING_NAMES:
            text = text or text_in(delta, name)
        details = dicts_in(delta, "reasoning_details") if "reasoning_details" in delta else None
        if details:
            text = text or "".join(text_in(detail, "text") or text_in(detail, "summary") for detail in details)
            self._thinking()
            self._details.take(details)
        self._thought(text)

    def _thought(self, text: str) -> None:
        if self._thoughts is not None:
            text = self._thoughts.feed(text)
        if text:
            self._thinking().text(0, text)

    def _thinking(self) -> GrowingReasoning:
        if self._reasoning is None:
            self._reasoning = GrowingReasoning(self._collector.start("reasoning"))
        return self._reasoning

    def _end_reasoning(self) -> None:
        if self._reasoning is not None:
            if self._thoughts is not None:
                self._reasoning.text(0, self._thoughts.rest())
            self._reasoning.done(opaque=self._collector.opaque("reasoning_details", self._details.continuation()))
            self._reasoning, self._details = None, ReasoningDetails()

    # --- the end -------------------------------------------------------------------------------------------------

    def _sentinel(self) -> None:
        """`[DONE]`: the end, also where no finish reason came with what did."""
        if not self._has_choice and not self._finish_reason:
            super()._end()
            return
        reason = _REASONS.get(self._finish_reason)
        if reason is None and self._finish_reason:
            self._collector.note({"finish_reason": self._finish_reason})
        self._end_reasoning()
        if self._text is not None and (held := self._text.rest()):
            self._visible().text("text", held)
        if self._message is not None:
            self._message.done()
        elif reason == "length" and self._empty_length_is_overflow and not self._calls:
            self._fail(ProviderError("context_overflow", "the model had no room for an answer"))
            return
        self._calls.settle(reason if reason or not self._finish_reason else "stop")
        self._finish(reason or "stop")

    def _end(self) -> None:
        """The bytes have ended: well, if a finish reason has come."""
        if self._finish_reason:
            self._sentinel()
        else:
            super()._end()


# What a delta may bring, in the order in which it is read.
_TAKES: dict[str, Callable[[ChatDecoder, Json], None]] = {
    **dict.fromkeys((*_REASONING_NAMES, "reasoning_details"), ChatDecoder._think),
    "content": ChatDecoder._content,
    "refusal": ChatDecoder._refusal,
    "annotations": ChatDecoder._annotations,
    "images": ChatDecoder._images,
    "tool_calls": ChatDecoder._call,
    "function_call": ChatDecoder._call,
}
