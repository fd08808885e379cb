"""A decoder for answers that come as a stream of JSON: everything but what the events mean.

A wire chooses its framing, and adds a table of events and the end of its answers. Events are read tolerantly: one that
cannot be read travels as a `provider_event`, whole, and the stream goes on; one that nobody knows likewise.
"""

from abc import ABC, abstractmethod
from typing import Any

from tailrace.adapters.base import DecodeContext
from tailrace.adapters.collect import Collector
from tailrace.adapters.counts import NO_COUNTS, Counts
from tailrace.adapters.errors import names_error, stream_error, unreadable_answer
from tailrace.adapters.framing import SSE, Framing
from tailrace.adapters.reading import LEADING, Json
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson, ProviderError
from tailrace.schema.events import Payload, StepDone, UsageUpdate
from tailrace.schema.response import FinishReason, Usage
from tailrace.wire.sse import MAX_EVENT_BYTES


class StreamDecoder(ABC):
    """The frame of a decoder (adapters/base.py). A wire implements `_event`, `_answer` and, if need be, `_end`.

    What these raise as a ProviderError (a breaker did: adapters/breakers.py) ends the answer badly.
    """

    ANSWER: tuple[str, ...] = ()  # the fields by any of which a JSON body is known to be an answer
    FRAMING: Framing = SSE

    def __init__(self, context: DecodeContext) -> None:
        self.done = False
        self.ending = False
        self.error: ProviderError | None = None
        self._context = context
        self._parser, self._json = self.FRAMING.parser(), self.FRAMING.json
        self._collector = Collector(context)
        self._begun = False
        self._body: bytearray | None = None  # the answer so far, where it is no event stream
        self._response_id: str | None = None
        self._model_id = ""

    # --- what a caller uses --------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> list[Payload]:
        """Take what one network read brought, split anywhere."""
        if self.done:
            return []
        if not self._begun:
            self._look_at(data)
        if self._body is not None:
            self._keep(data)
            return self._collector.take()
        try:
            for frame in self._parser.feed(data):
                self._read(frame)
                if self.done:
                    break
        except ProviderError as error:
            self._fail(error)
        return self._collector.take()

    def close(self) -> list[Payload]:
        """The bytes have ended."""
        if self.done:
            return []
        if self._body is not None:
            return self.whole(bytes(self._body))
        try:
            for frame in self._parser.close():
                self._read(frame, is_last=True)
        except ProviderError as error:
            self._fail(error)
        if not self.done:
            self._end()
        return self._collector.take()

    def whole(self, body: bytes) -> list[Payload]:
        """Take a non-streaming answer, whole."""
        try:
            answer = codec.decode_any(body.lstrip(LEADING))
        except (InvalidJson, RecursionError):
            answer = None
        if isinstance(answer, dict) and any(name in answer for name in self.ANSWER):
            try:
                self._answer(answer)
            except ProviderError as error:
                self._fail(error)
        elif names_error(answer):
            self._fail(stream_error(answer))
        else:
            self._fail(unreadable_answer(body))
        return self._collector.take()

    # --- what a wire adds ----------------------------------------------------------------------------------------

    @abstractmethod
    def _event(self, event: Json) -> None:
        """One event of the stream."""

    @abstractmethod
    def _answer(self, answer: Json) -> None:
        """A whole answer."""

    def _sentinel(self) -> None:  # noqa: B027  # most wires end without one
        """The stream says `[DONE]`."""

    def _end(self) -> None:
        """The bytes have ended and the answer has not."""
        self._fail(ProviderError("stream_interrupted", "the stream ended before the answer did"))

    def _counts(self) -> Counts:
        """The token counts as far as they are known."""
        return NO_COUNTS

    # --- what a wire uses ----------------------------------------------------------------------------------------

    def _finish(self, reason: FinishReason) -> None:
        """The answer has ended well, and so have its items.

        The reason is `tool_calls` whenever there are finished calls and the provider saw no other reason to stop, and
        never without them (A12).
        """
        counts = self._counts()
        overflow = self._overflow(reason, counts.usage)
        if overflow is not None:
            self._fail(overflow)
            return
        if reason in {"stop", "tool_calls"}:
            reason = "tool_calls" if self._collector.calls else "stop"
        self._tell_rest(counts)
        self._collector.out.append(
            StepDone(
                step=self._context.step,
                provider_id=self._context.provider_id,
                model_id=self._model_id or self._context.model_id,
                finish_reason=reason,
                provider_response_id=self._response_id or None,
                usage=counts.usage,
            )
        )
        self.done = True

    def _overflow(self, reason: FinishReason, usage: Usage | None) -> ProviderError | None:
        """Was the prompt cut short to fit the model, though the provider does not say so?"""
        window = self._context.quirks.get("context_window", 0)
        if reason != "stop" or not window or usage is None or usage.prompt_tokens <= window:
            return None
        message = f"the prompt was cut short: it has {usage.prompt_tokens} tokens, and the model takes {window}"
        return ProviderError("context_overflow", message)

    def _fail(self, error: ProviderError) -> None:
        """The answer has ended badly. Tokens were spent all the same, so that what is known of them is told."""
        counts = self._counts()
        self._tell_rest(counts)
        self._tell_usage(counts)
        self.error = error
        self.done = True

    def _tell_usage(self, counts: Counts) -> None:
        if counts.usage is not None:
            self._collector.out.append(UsageUpdate(response_id=self._context.response_id, usage=counts.usage))

    def _tell_rest(self, counts: Counts) -> None:
        """What was noted, and the provider's own counts where ours have no word for some of them."""
        self._collector.tell_notes("response")
        if counts.says_more:
            self._collector.event("usage", counts.raw)

    # --- reading -------------------------------------------------------------------------------------------------

    def _read(self, frame: Any, *, is_last: bool = False) -> None:
        """One event. The last one may be cut: then it is none, and the end of the bytes speaks for it."""
        data = self._json(frame)
        try:
            event = codec.decode_any(data)
        except (InvalidJson, RecursionError):
            event = None
        if isinstance(event, dict):
            self._event(event)
        elif data.strip() == b"[DONE]":
            self._sentinel()
        elif event is not None or not is_last:
            self._collector.event("unreadable", data.decode("utf-8", "replace"))

    def _look_at(self, data: bytes) -> None:
        """Is this such a stream at all? Its first character tells."""
        lead = data.lstrip(LEADING)
        self._begun = bool(lead)
        if lead.startswith(self.FRAMING.others):
            self._body = bytearray()

    def _keep(self, data: bytes) -> None:
        if self._body is not None:
            self._body += data
            if len(self._body) > MAX_EVENT_BYTES:
                self._fail(ProviderError("protocol_error", f"the answer is longer than {MAX_EVENT_BYTES} bytes"))
