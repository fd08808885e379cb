"""What Ollama answers (https://docs.ollama.com/api/chat): a JSON object a line, each with a piece of the message.

The answer of `/api/generate` differs in that its pieces stand in `response` and `thinking`; it is heard as well.
Nothing says where an item ends: reasoning ends when other content begins, the message with the answer. Calls come
whole. The last line says that it is `done`, why, and what it took.
"""

from tailrace.adapters.base import DecodeContext
from tailrace.adapters.counts import Counts, openai_counts
from tailrace.adapters.errors import stream_error
from tailrace.adapters.framing import LINES
from tailrace.adapters.growing import GrowingCall, GrowingMessage, GrowingReasoning
from tailrace.adapters.reading import Json, as_text, dict_in, dicts_in, list_in, text_in, unknown_news
from tailrace.adapters.stream import StreamDecoder
from tailrace.schema.errors import ProviderError
from tailrace.schema.response import FinishReason

_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length", "tool_calls": "tool_calls"}
# "Reasons" that say that nothing was answered: an empty request only loads a model, or unloads it.
_NO_ANSWER = frozenset({"load", "unload"})

_PIECE_KNOWN = frozenset({"model", "created_at", "message", "response", "thinking", "done", "logprobs", "error"})
_LAST_KNOWN = _PIECE_KNOWN | {"done_reason", "prompt_eval_count", "eval_count"}
_MESSAGE_KNOWN = frozenset({"role", "content", "thinking", "tool_calls"})


class OllamaDecoder(StreamDecoder):
    """Decodes ollama (adapters/base.py Decoder)."""

    ANSWER = ("done",)
    FRAMING = LINES

    def __init__(self, context: DecodeContext) -> None:
        super().__init__(context)
        self._message: GrowingMessage | None = None
        self._reasoning: GrowingReasoning | None = None
        self._usage: Json = {}

    def _event(self, event: Json) -> None:
        message = event.get("message")
        if isinstance(message, dict):
            self._piece(message)
        elif "response" in event:
            self._piece({"content": event["response"], "thinking": event.get("thinking")})
        elif event.get("error"):
            self._fail(stream_error({"type": "server_error", **event}))  # it names no kind, and broke in mid-answer
            return
        elif not event.get("done"):
            self._collector.event(text_in(event, "type") or "event", event)
            return
        if "logprobs" in event and list_in(event, "logprobs"):
            self._visible().logprobs("text", list_in(event, "logprobs"))
        if event.get("done"):
            self._last(event)
        elif not event.keys() <= _PIECE_KNOWN:
            self._collector.note(unknown_news(event, _PIECE_KNOWN))

    def _answer(self, answer: Json) -> None:
        self._event({**answer, "done": True})

    def _counts(self) -> Counts:
        return openai_counts(self._usage, "prompt_eval_count", "eval_count")

    # --- a piece -------------------------------------------------------------------------------------------------

    def _piece(self, message: Json) -> None:
        """What each field brings, in the order in which a model writes: thinking, text, calls."""
        thinking, content = text_in(message, "thinking"), text_in(message, "content")
        if thinking:
            self._thinking().text(0, thinking)
        if content:
            self._visible().text("text", content)
        if "tool_calls" in message:
            for call in dicts_in(message, "tool_calls"):
                self._call(call)
        for name, value in unknown_news(message, _MESSAGE_KNOWN).items():
            self._collector.event(name, value)

    def _thinking(self) -> GrowingReasoning:
        if self._reasoning is None:
            self._reasoning = GrowingReasoning(self._collector.start("reasoning"))
        return self._reasoning

    def _visible(self) -> GrowingMessage:
        self._end_reasoning()
        if self._message is None:
            self._message = GrowingMessage(self._collector.start("message"))
        return self._message

    def _end_reasoning(self) -> None:
        if self._reasoning is not None:
            self._reasoning.done()
            self._reasoning = None

    def _call(self, call: Json) -> None:
        self._end_reasoning()
        function, call_id = dict_in(call, "function"), text_in(call, "id")
        name = text_in(function, "name")
        item = self._collector.start("function_call", call_id, name=name or None, call_id=call_id)
        growing = GrowingCall(item, name=name, call_id=call_id)
        growing.arguments(as_text(function.get("arguments")))
        growing.done()

    # --- the end -------------------------------------------------------------------------------------------------

    def _last(self, event: Json) -> None:
        self._model_id = text_in(event, "model")
        self._usage = {key: event[key] for key in ("prompt_eval_count", "eval_count") if key in event}
        self._collector.note(unknown_news(event, _LAST_KNOWN))
        said = text_in(event, "done_reason")
        is_empty = self._message is None and self._reasoning is None and not self._collector.calls
        if said in _NO_ANSWER:
            self._fail(ProviderError("provider_error", f"the model was not asked anything: {said}"))
        elif is_empty and said == "length":
            self._fail(ProviderError("context_overflow", "the prompt leaves no room for an answer"))
        else:
            self._settle(said)

    def _settle(self, said: str) -> None:
        reason = _REASONS.get(said)
        if reason is None and said:
            self._collector.note({"done_reason": said})
        self._end_reasoning()
        if self._message is not None:
            self._message.done()
        self._finish(reason or "stop")
