"""Gemini, scripted: the Gemini API and Vertex AI. Shapes: https://ai.google.dev/api/generate-content.

Calls come whole, and with ids but on models of the second generation. What was thought is sealed on the first call that
follows, else on the last text, else on an empty one at the end.
"""

from tailrace.schema import codec
from tailrace.testing.moves import Fail
from tailrace.testing.wires import gemini_rules
from tailrace.testing.wires.base import Asked, Json, Memory, OfferedTool, ScriptedWire, Ticket, sign
from tailrace.testing.wires.plan import Block, Plan

_FINISH = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "refusal": "SAFETY"}

# canonical code -> HTTP status; HTTP status -> the vendor's word
_IN_STREAM = {"rate_limited": 429, "overloaded": 503, "invalid_request": 400, "context_overflow": 400}
_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}


class _Renderer:
    keep_alive = b": keep-alive\n\n"

    def __init__(self, plan: Plan, ticket: Ticket, body: Json, memory: Memory) -> None:
        self._plan = plan
        self._ticket = ticket
        self._model = str(body["model"])
        self._signed = _signed(plan.blocks)
        self._seals_nothing = self._signed is None and any(block.kind == "reasoning" for block in plan.blocks)
        for block in plan.blocks:
            if block is self._signed and block.kind == "call":
                memory.keep(self._model, self._call_id(block), [self._part(block)])

    def start(self) -> bytes:
        return b""

    def opened(self, block: Block) -> bytes:
        return b""

    def grew(self, block: Block, piece: str) -> bytes:
        if block.kind == "call" or block.redacted:
            return b""
        return self._response({"text": piece, **({"thought": True} if block.kind == "reasoning" else {})})

    def closed(self, block: Block) -> bytes:
        if block.kind == "call":
            return self._response(self._part(block))
        return self._response({"text": "", "thoughtSignature": self._sign(block)}) if block is self._signed else b""

    def failed(self, fail: Fail) -> bytes:
        return _frame(_error(_IN_STREAM.get(fail.code, 500), fail.message))

    def end(self) -> bytes:
        return _frame(self._answer([self._last()], done=True))

    def whole(self) -> Json:
        parts = [self._part(block) for block in self._plan.blocks if not block.redacted]
        return self._answer([*parts, self._last()] if self._seals_nothing else parts, done=True)

    def _part(self, block: Block) -> Json:
        if block.kind == "call":
            call_id = self._call_id(block)
            arguments = codec.decode_any(block.text) if block.text else {}
            call = {"name": block.name, "args": arguments, **({"id": call_id} if call_id else {})}
            seal = {"thoughtSignature": gemini_rules.sign_call(call)} if block is self._signed else {}
            return {"functionCall": call, **seal}
        if block.kind == "reasoning":
            return {"text": block.text, "thought": True}
        return {"text": block.text, **({"thoughtSignature": self._sign(block)} if block is self._signed else {})}

    def _sign(self, block: Block) -> str:
        """The signature of a text: with the texts before it, where no client sees what stood between."""
        said = block.text
        for earlier in reversed(self._plan.blocks[: block.index]):
            if earlier.kind not in {"text", "refusal"} and not earlier.redacted:
                break
            said = said if earlier.redacted else earlier.text + said
        return sign(said)

    def _last(self) -> Json:
        return {"text": "", **({"thoughtSignature": sign("")} if self._seals_nothing else {})}

    def _call_id(self, block: Block) -> str:
        if block.call_id or self._model.startswith("gemini-2"):
            return block.call_id
        return self._ticket.id("call_", block.index)[:13]

    def _response(self, part: Json) -> bytes:
        return _frame(self._answer([part], done=False))

    def _answer(self, parts: list[Json], *, done: bool) -> Json:
        spent = self._plan.spent
        candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": 0}
        usage = {"promptTokenCount": spent.prompt, "totalTokenCount": spent.prompt}
        if done:
            candidate["finishReason"] = _FINISH[self._plan.finish]
            usage = {
                **usage,
                "candidatesTokenCount": spent.completion - spent.reasoning,
                "thoughtsTokenCount": spent.reasoning,
                "cachedContentTokenCount": spent.cached,
                "totalTokenCount": spent.prompt + spent.completion,
            }
        return {
            "candidates": [candidate],
            "usageMetadata": usage,
            "modelVersion": self._model,
            "responseId": self._ticket.id("resp_")[5:27],
        }


def _signed(blocks: list[Block]) -> Block | None:
    """The block that bears the seal of the thoughts before it, if there are any."""
    first = next((at for at, block in enumerate(blocks) if block.kind == "reasoning"), len(blocks))
    after = blocks[first:]
    calls = (block for block in after if block.kind == "call")
    texts = (block for block in reversed(blocks if after else []) if block.kind in {"text", "refusal"} and block.text)
    return next(calls, None) or next(texts, None)


def _frame(data: Json) -> bytes:
    return b"data: %s\n\n" % codec.encode(data)


def _error(status: int, message: str) -> Json:
    return {"error": {"code": status, "message": message, "status": _WORDS.get(status, "UNKNOWN")}}


def _texts(content: Json) -> str:
    return "".join(part.get("text", "") for part in content["parts"])


def _responses(content: Json) -> list[Json]:
    return [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]


def _read(body: Json) -> Asked:
    contents = body["contents"]
    said = (content for content in contents if content.get("role", "user") == "user" and not _responses(content))
    last = [content for content in contents[-2:] if _responses(content)][-1:]
    is_last = bool(last) and (last[0] is contents[-1] or not _texts(contents[-1]))  # pictures may follow
    outputs = [response["response"] for response in _responses(last[0])] if is_last else []
    declared = (each for tool in body.get("tools") or () for each in tool.get("functionDeclarations") or ())
    return Asked(
        wire=WIRE.name,
        model=body["model"],
        stream=body["method"] == "streamGenerateContent",
        user_texts=tuple(_texts(content) for content in said),
        tools=tuple(OfferedTool(tool["name"], tool.get("parametersJsonSchema") or {}) for tool in declared),
        outputs=tuple(str(output.get("output", output.get("error", output))) for output in outputs),
        body=body,
    )


def _complaint(body: Json, memory: Memory) -> str | None:
    return next(gemini_rules.complaints(body, memory), None)


WIRE = ScriptedWire(
    name="google-gemini",
    path="/{api:v1beta|v1(?:/projects/[^/]+/locations/[^/]+)?/publishers/google}/models/{model}:{method}",
    read=_read,
    complaint=_complaint,
    renderer=_Renderer,
    error=_error,
)
