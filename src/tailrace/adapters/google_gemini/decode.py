"""What Gemini answers (https://ai.google.dev/api/generate-content#GenerateContentResponse), on its API and on Vertex.

A stream is a row of whole responses, each with the parts that are new. Texts in a row are one message, with the images
between them; thoughts in a row are one reasoning item; a `functionCall` is a call; every other part (executable code
and its result, a server tool's call and its response, sound, …) is a provider item, whole. Nothing says where an item
ends: it ends where another begins. What thought signatures become: signatures.py.

Only candidate 0 becomes items; others travel as provider events. Nothing marks the end but a finish reason, which may
stand in more than one response: the answer ends with the bytes, once one was seen.
"""

from collections.abc import Callable

from tailrace.adapters.base import DecodeContext
from tailrace.adapters.counts import Counts, google_counts
from tailrace.adapters.errors import stream_error
from tailrace.adapters.google_gemini.partial_args import PartialArguments
from tailrace.adapters.google_gemini.signatures import kind_of
from tailrace.adapters.growing import GrowingCall, GrowingMessage, GrowingReasoning
from tailrace.adapters.reading import Json, as_text, dict_in, dicts_in, index_in, text_in, unknown_news
from tailrace.adapters.stream import StreamDecoder
from tailrace.schema.errors import ProviderError
from tailrace.schema.items import ProviderItem
from tailrace.schema.response import FinishReason

# https://ai.google.dev/api/generate-content#FinishReason
_REASONS: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "pause",
    "TOO_MANY_TOOL_CALLS": "pause",
    **dict.fromkeys(
        (
            "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "MODEL_ARMOR", "ESCALATION",
        ),
        "content_filter",
    ),
}  # fmt: skip
# "Reasons" that say that the answer broke off.
_BROKEN = frozenset({
    "FINISH_REASON_UNSPECIFIED", "OTHER", "MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL",
    "MISSING_THOUGHT_SIGNATURE", "NO_IMAGE", "IMAGE_OTHER", "PUP_LIMITED_DISABLED",
})  # fmt: skip

_EVENT_KNOWN = frozenset({"responseId", "modelVersion", "error"})
_CANDIDATE_KNOWN = frozenset({"index", "finishReason", "logprobsResult"})
_BESIDE = frozenset({"thought", "thoughtSignature"})  # of a part: what says something of its content
_TEXT_KNOWN = _BESIDE | {"text"}
_CALL_KNOWN = frozenset({"id", "name", "args", "partialArgs", "willContinue"})


class GeminiDecoder(StreamDecoder):
    """Decodes google-gemini (adapters/base.py Decoder)."""

    ANSWER = ("candidates", "promptFeedback")

    def __init__(self, context: DecodeContext) -> None:
        super().__init__(context)
        self._message: GrowingMessage | None = None
        self._place = 0  # of the message's part under way
        self._signature = ""  # the message's
        self._reasoning: GrowingReasoning | None = None
        self._call: GrowingCall | None = None  # one whose arguments come in pieces
        self._arguments = PartialArguments()
        self._call_ids: set[str] = set()
        self._finish_reason = ""
        self._envelope: Json = {}  # of the last response, without candidates and counts
        self._frame: Json = {}  # of the last candidate, without its content
        self._usage: Json = {}

    def _event(self, event: Json) -> None:
        candidates, usage = event.pop("candidates", None), event.pop("usageMetadata", None)
        if isinstance(usage, dict):
            self._count(usage)
        if event != self._envelope:  # what repeats the response before has been read
            self._envelope = event
            self._read_envelope(event)
        if self.done or not isinstance(candidates, list):
            return
        for candidate in candidates:
            if isinstance(candidate, dict):
                self._candidate(candidate)

    def _answer(self, answer: Json) -> None:
        self._event(answer)
        if not self.done:
            self._end()

    def _counts(self) -> Counts:
        return google_counts(self._usage)

    def _count(self, usage: Json) -> None:
        """Counts are cumulative; on Vertex most responses have none beside the kind of traffic (A8)."""
        self._usage = usage if "totalTokenCount" in usage else {**self._usage, **usage}

    def _read_envelope(self, event: Json) -> None:
        self._response_id = text_in(event, "responseId") or self._response_id
        self._model_id = text_in(event, "modelVersion") or self._model_id
        self._collector.note(unknown_news(event, _EVENT_KNOWN))
        reason = text_in(dict_in(event, "promptFeedback"), "blockReason")
        if event.get("error"):
            self._fail(stream_error(event))
        elif reason:
            message = text_in(dict_in(event, "promptFeedback"), "blockReasonMessage")
            self._fail(ProviderError("content_filter", f"the prompt was blocked: {message or reason}"))

    # --- candidates ----------------------------------------------------------------------------------------------

    def _candidate(self, candidate: Json) -> None:
        if index_in(candidate, "index"):
            self._collector.event("candidate", candidate)
            return
        content = candidate.pop("content", None)
        if candidate != self._frame:
            self._frame = candidate
            self._read_frame(candidate)
        if isinstance(content, dict):
            for part in dicts_in(content, "parts"):
                self._part(part)
        if "logprobsResult" in candidate:
            self._logprobs(dict_in(candidate, "logprobsResult"))

    def _read_frame(self, candidate: Json) -> None:
        """What a candidate says beside its content: grounding, citations, safety, … are facts about the answer."""
        self._finish_reason = text_in(candidate, "finishReason") or self._finish_reason
        self._collector.note(unknown_news(candidate, _CANDIDATE_KNOWN))

    def _part(self, part: Json) -> None:
        text = part.get("text")
        if len(part) == 1 and isinstance(text, str):  # as nearly always
            if text:
                self._visible().text(self._place, text)
            return
        name = next((name for name in part if name in _TAKES), "") or next(
            (name for name in part if name not in _BESIDE), ""
        )
        _TAKES.get(name, GeminiDecoder._other)(self, part, name)

    def _say(self, part: Json, _name: str) -> None:
        """Text, said aloud or only thought; a part with nothing but a signature is text, too."""
        text, signature = text_in(part, "text"), text_in(part, "thoughtSignature")
        if part.get("thought") is True:
            self._think(text, signature)
        else:
            if text:
                self._visible().text(self._place, text)
            self._sign(signature)
        for name, value in unknown_news(part, _TEXT_KNOWN).items():
            self._collector.event(name, value)

    def _think(self, text: str, signature: str) -> None:
        if text:
            self._thinking().text(0, text)
        if signature:
            self._seal("thought", signature)

    def _image(self, part: Json, name: str) -> None:
        """A picture is a part of the message; what else comes inline has no word in the schema."""
        data = dict_in(part, name)
        kind, content = text_in(data, "mimeType"), text_in(data, "data")
        if part.get("thought") is True or not (kind.startswith("image/") and content):
            self._other(part, name)
            return
        message = self._visible()
        self._place += 1
        message.image(self._place, f"data:{kind};base64,{content}")
        self._place += 1
        self._sign(text_in(part, "thoughtSignature"))

    def _other(self, part: Json, name: str) -> None:
        """A part that nobody here has a word for, whole but for its signature."""
        self._begin_other(name, text_in(part, "thoughtSignature"))
        item = self._collector.start("provider_item", provider_type=name)
        data = {key: value for key, value in part.items() if key != "thoughtSignature"}
        item.done(ProviderItem(id=item.id, provider_type=name, data=data))

    # --- calls ---------------------------------------------------------------------------------------------------

    def _function_call(self, part: Json, part_name: str) -> None:
        """A call comes whole, or its name first and its arguments in pieces, as long as one `willContinue`."""
        said = dict_in(part, part_name)
        name = text_in(said, "name")
        if self._call is None or name:
            if not name:  # the empty one that ends a call which has ended
                if unknown_news(said, frozenset({"willContinue"})):
                    self._collector.event(part_name, part)
                return
            self._call = self._begin_call(name, text_in(said, "id"), text_in(part, "thoughtSignature"))
        for key, value in unknown_news(said, _CALL_KNOWN).items():
            self._collector.event(f"{part_name}.{key}", value)
        for piece in dicts_in(said, "partialArgs"):
            self._arguments.take(piece)
        if "args" in said:
            self._call.arguments(as_text(said["args"]))
        if said.get("willContinue") is not True:
            self._end_call()

    def _begin_call(self, name: str, call_id: str, signature: str) -> GrowingCall:
        """Most calls have no id, and some have one that another had: then the item's own serves."""
        self._begin_other("functionCall", signature)
        own_id = "" if call_id in self._call_ids else call_id
        self._call_ids.add(call_id)
        self._arguments = PartialArguments()
        return GrowingCall(
            self._collector.start("function_call", own_id, name=name, call_id=own_id), name=name, call_id=own_id
        )

    def _end_call(self) -> None:
        """The call under way is whole. One with a piece that had no place may be shown, never run (C19)."""
        call, self._call = self._call, None
        if call is None:
            return
        if not call.sent:
            call.arguments(as_text(self._arguments.value()))
        if self._arguments.is_whole:
            call.done()
        else:
            call.item.cancel("incomplete")

    # --- what is under way ---------------------------------------------------------------------------------------

    def _visible(self) -> GrowingMessage:
        if self._message is None:
            self._end_reasoning()
            self._end_call()
            self._message, self._place = GrowingMessage(self._collector.start("message")), 0
        return self._message

    def _thinking(self) -> GrowingReasoning:
        if self._reasoning is None:
            self._end_message()
            self._end_call()
            self._reasoning = GrowingReasoning(self._collector.start("reasoning"))
        return self._reasoning

    def _begin_other(self, part: str, signature: str) -> None:
        """Something else than text begins: before it stands what was thought, sealed."""
        self._end_call()
        self._end_message()
        if signature:
            self._seal(part, signature)
        self._end_reasoning()

    def _sign(self, signature: str) -> None:
        """The signature of what was said last; of a message there is one."""
        if not signature or signature == self._signature:
            return
        if self._message is None:
            self._seal("text", signature)
            return
        if self._signature:
            self._collector.event("thoughtSignature", self._signature)
        self._signature = signature

    def _seal(self, part: str, signature: str) -> None:
        """The thoughts so far are what this signature of a part seals; there need not be any in words."""
        self._thinking().done(opaque=self._collector.opaque(kind_of(part), signature))
        self._reasoning = None

    def _end_message(self) -> None:
        if self._message is not None:
            self._message.done(opaque=self._collector.opaque(kind_of("text"), self._signature))
            self._message, self._signature = None, ""

    def _end_reasoning(self) -> None:
        if self._reasoning is not None:
            self._reasoning.done()
            self._reasoning = None

    def _logprobs(self, result: Json) -> None:
        """Token probabilities in the words that clients know (OpenAI's), with what else is said of a token."""
        chosen, tops = dicts_in(result, "chosenCandidates"), dicts_in(result, "topCandidates")
        others = [[_token(each) for each in dicts_in(top, "candidates")] for top in tops]
        others += [[]] * (len(chosen) - len(others))
        if chosen:
            pairs = zip(chosen, others, strict=False)
            said: list[object] = [{**_token(each), "top_logprobs": other} for each, other in pairs]
            self._visible().logprobs(self._place, said)
        rest = unknown_news(result, frozenset({"chosenCandidates", "topCandidates"}))
        if rest:
            self._collector.event("logprobsResult", rest)

    # --- the end -------------------------------------------------------------------------------------------------

    def _sentinel(self) -> None:
        """`[DONE]`, which some gateways add."""
        self._end()

    def _end(self) -> None:
        """The bytes have ended: well, if a finish reason has come that is one."""
        reason = self._finish_reason
        if not reason:
            super()._end()
        elif reason in _BROKEN:
            why = text_in(self._frame, "finishMessage")
            message = f"the answer broke off: {reason}" + (f": {why}" if why else "")
            self._fail(stream_error({"error": {"code": reason, "message": message}}))
        else:
            if reason not in _REASONS:
                self._collector.note({"finishReason": reason})
            self._settle(_REASONS.get(reason, "stop"))

    def _settle(self, reason: FinishReason) -> None:
        """What is open has ended, too; a call that was cut may be shown, never run (C19)."""
        self._end_reasoning()
        self._end_message()
        if self._call is not None and reason != "stop":
            self._call.item.cancel(reason)
        else:
            self._end_call()
        self._finish(reason)


def _token(candidate: Json) -> Json:
    said = {name: value for name, value in candidate.items() if name not in {"token", "logProbability"}}
    token = text_in(candidate, "token")
    return {"token": token, "logprob": candidate.get("logProbability"), "bytes": list(token.encode()), **said}


_TAKES: dict[str, Callable[[GeminiDecoder, Json, str], None]] = {
    "text": GeminiDecoder._say,
    "functionCall": GeminiDecoder._function_call,
    "inlineData": GeminiDecoder._image,
    "": GeminiDecoder._say,
}
