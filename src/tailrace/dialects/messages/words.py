"""Token counts and ends in Anthropic's words (https://platform.claude.com/docs/en/api/messages)."""

from typing import Any

from tailrace.schema.response import FinishReason, Usage

Json = dict[str, Any]

# A limit of ours is like the vendor's pause: the client may send the answer back to go on from there.
_STOPS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
    "limit": "pause_turn",
}

# What the vendor's wire notes at the end of an answer (adapters/anthropic_messages), and where it stands on its stream.
_OF_DELTA = frozenset({"container", "stop_details"})
_OF_EVENT = frozenset({"context_management"})
_OF_USAGE = frozenset({"cache_creation", "inference_geo", "iterations", "server_tool_use", "service_tier", "speed"})


class Notes:
    """What the vendor said at the end of its answer and only this protocol has words for: it is passed on.

    `refused`: the model said in so many words that it will not answer, which elsewhere is no reason to stop.
    """

    def __init__(self) -> None:
        self.refused = False
        self.stop_reason: str | None = None
        self.stop_sequence: str | None = None
        self.delta: Json = {}
        self.event: Json = {}
        self.usage: Json = {}

    def take(self, name: str, data: Any) -> None:
        """A provider's event; others than these two, and other vendors' words in them, are passed over."""
        if not isinstance(data, dict):
            return
        if name == "usage":
            self.usage |= _only(data, _OF_USAGE)
        elif name == "response":
            self.stop_reason = _text(data, "stop_reason") or self.stop_reason
            self.stop_sequence = _text(data, "stop_sequence") or self.stop_sequence
            self.delta |= _only(data, _OF_DELTA)
            self.event |= _only(data, _OF_EVENT)


def _only(data: Json, names: frozenset[str]) -> Json:
    return {name: value for name, value in data.items() if name in names}


def _text(data: Json, name: str) -> str | None:
    value = data.get(name)
    return value if isinstance(value, str) else None


def stop_of(reason: FinishReason, notes: Notes) -> Json:
    """`stop_reason` and `stop_sequence`."""
    said = _STOPS.get(reason, "end_turn")
    if said == "end_turn":
        said = "stop_sequence" if notes.stop_sequence is not None else notes.stop_reason or said
        said = "refusal" if notes.refused else said
    return {"stop_reason": said, "stop_sequence": notes.stop_sequence if said == "stop_sequence" else None}


def usage_of(usage: Usage | None) -> Json:
    """Token counts, cached ones apart; zeros as long as nothing is known."""
    if usage is None:
        return {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}
    read, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    said: Json = {
        "input_tokens": max(0, usage.prompt_tokens - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage.completion_tokens,
    }
    if usage.reasoning_tokens is not None:
        said["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return said
