"""OpenAI Responses, scripted. Shapes: https://platform.openai.com/docs/api-reference/responses-streaming."""

from typing import Any

from tailrace.testing.moves import Fail
from tailrace.testing.wires import openai_errors
from tailrace.testing.wires.base import (
    Asked,
    Json,
    Memory,
    OfferedTool,
    ScriptedWire,
    Ticket,
    event,
    seal,
    text_of,
)
from tailrace.testing.wires.plan import Block, Plan
from tailrace.testing.wires.responses_rules import check, items_of
from tailrace.testing.wires.rules import complaint

_STATUS = {"length": "incomplete"}
_PREFIX = {"reasoning": "rs_", "text": "msg_", "refusal": "msg_", "call": "fc_"}
_PART = {"text": ("output_text", "text"), "refusal": ("refusal", "refusal")}
_ENCRYPTED = "reasoning.encrypted_content"


class _Renderer:
    keep_alive = b": keep-alive\n\n"

    def __init__(self, plan: Plan, ticket: Ticket, body: Json, memory: Memory) -> None:
        self._plan = plan
        self._ticket = ticket
        self._body = body
        self._sequence = 0
        self._encrypted = _ENCRYPTED in (body.get("include") or ())

    def start(self) -> bytes:
        response = self._response("in_progress", [])
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def opened(self, block: Block) -> bytes:
        where = self._where(block)
        frames = self._event("response.output_item.added", **_at(block), item=self._item(block, whole=False))
        if block.kind == "reasoning" and not block.redacted:
            part = {"type": "summary_text", "text": ""}
            frames += self._event("response.reasoning_summary_part.added", **where, summary_index=0, part=part)
        elif block.kind in _PART:
            part = _part(block, "")
            frames += self._event("response.content_part.added", **where, content_index=0, part=part)
        return frames

    def grew(self, block: Block, piece: str) -> bytes:
        where = self._where(block)
        match block.kind:
            case "text":
                more = {"content_index": 0, "delta": piece, "logprobs": []}
                return self._event("response.output_text.delta", **where, **more)
            case "call":
                return self._event("response.function_call_arguments.delta", **where, delta=piece)
            case "refusal":
                return self._event("response.refusal.delta", **where, content_index=0, delta=piece)
        if block.redacted:
            return b""
        return self._event("response.reasoning_summary_text.delta", **where, summary_index=0, delta=piece)

    def closed(self, block: Block) -> bytes:
        where, text = self._where(block), block.text
        frames = b""
        if block.kind == "call":
            frames = self._event("response.function_call_arguments.done", **where, arguments=text, name=block.name)
        elif block.kind in _PART:
            kind, key = _PART[block.kind]
            frames = self._event(f"response.{kind}.done", **where, content_index=0, **{key: text})
            frames += self._event("response.content_part.done", **where, content_index=0, part=_part(block, text))
        elif not block.redacted:
            part = {"type": "summary_text", "text": text}
            frames = self._event("response.reasoning_summary_text.done", **where, summary_index=0, text=text)
            frames += self._event("response.reasoning_summary_part.done", **where, summary_index=0, part=part)
        return frames + self._event("response.output_item.done", **_at(block), item=self._item(block, whole=True))

    def failed(self, fail: Fail) -> bytes:
        error = openai_errors.in_stream(fail)
        brief = {"code": error["code"], "message": error["message"]}
        return self._event("error", error=error) + self._event(
            "response.failed", response={**self._response("failed", []), "error": brief}
        )

    def end(self) -> bytes:
        whole = self.whole()
        return self._event(f"response.{whole['status']}", response=whole)

    def whole(self) -> Json:
        spent = self._plan.spent
        output = [self._item(block, whole=True) for block in self._plan.blocks]
        status = _STATUS.get(self._plan.finish, "completed")
        usage = {
            "input_tokens": spent.prompt,
            "input_tokens_details": {"cached_tokens": spent.cached},
            "output_tokens": spent.completion,
            "output_tokens_details": {"reasoning_tokens": spent.reasoning},
            "total_tokens": spent.prompt + spent.completion,
        }
        reason = {"reason": "max_output_tokens"} if status == "incomplete" else None
        return {**self._response(status, output), "incomplete_details": reason, "usage": usage}

    def _event(self, name: str, /, **fields: Any) -> bytes:
        frame = event(name, {"type": name, "sequence_number": self._sequence, **fields})
        self._sequence += 1
        return frame

    def _where(self, block: Block) -> Json:
        return {"item_id": self._id(block), "output_index": block.index}

    def _id(self, block: Block) -> str:
        return self._ticket.id(_PREFIX[block.kind], block.index)

    def _item(self, block: Block, *, whole: bool) -> Json:
        text = block.text if whole else ""
        item: Json = {"id": self._id(block)}
        if block.kind == "reasoning":
            shown = [{"type": "summary_text", "text": text}] if whole and not block.redacted else []
            item |= {"type": "reasoning", "summary": shown}
            return item | ({"encrypted_content": seal(text)} if self._encrypted else {})
        cut = self._plan.finish == "length" and block is self._plan.blocks[-1]
        item["status"] = ("incomplete" if cut else "completed") if whole else "in_progress"
        if block.kind == "call":
            call_id = block.call_id or self._ticket.id("call_", block.index)
            return item | {"type": "function_call", "arguments": text, "call_id": call_id, "name": block.name}
        return item | {"type": "message", "role": "assistant", "content": [_part(block, text)] if whole else []}

    def _response(self, status: str, output: list[Json]) -> Json:
        body, created = self._body, self._ticket.created
        return {
            "id": self._ticket.id("resp_"),
            "object": "response",
            "created_at": created,
            "status": status,
            "background": False,
            "completed_at": created if status == "completed" else None,
            "error": None,
            "incomplete_details": None,
            "instructions": body.get("instructions"),
            "max_output_tokens": body.get("max_output_tokens"),
            "model": body["model"],
            "output": output,
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": body.get("reasoning") or {"effort": None, "summary": None},
            "store": body.get("store", True),
            "temperature": body.get("temperature", 1.0),
            "text": {"format": {"type": "text"}},
            "tool_choice": body.get("tool_choice", "auto"),
            "tools": body.get("tools") or [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": None,
            "user": None,
            "metadata": body.get("metadata") or {},
        }


def _at(block: Block) -> Json:
    return {"output_index": block.index}


def _part(block: Block, text: str) -> Json:
    if block.kind == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _read(body: Json) -> Asked:
    items = items_of(body)
    outputs: list[str] = []
    for item in reversed(items):
        if item["type"] != "function_call_output":
            break
        outputs.insert(0, text_of(item.get("output")))
    said = (text_of(item.get("content")) for item in items if item["type"] == "message" and item.get("role") == "user")
    tools = (tool for tool in body.get("tools") or () if tool.get("type") == "function")
    return Asked(
        wire=WIRE.name,
        model=body["model"],
        stream=bool(body.get("stream")),
        user_texts=tuple(said),
        tools=tuple(OfferedTool(tool["name"], tool.get("parameters") or {}) for tool in tools),
        outputs=tuple(outputs),
        body=body,
    )


WIRE = ScriptedWire(
    name="openai-responses",
    path="/v1/responses",
    read=_read,
    complaint=complaint(check),
    renderer=_Renderer,
    error=openai_errors.over_http,
)
