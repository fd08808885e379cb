"""The shapes of a Responses stream's events, items and parts: Open Responses' and OpenAI's lists in one table.

Open Responses (2026-04-24) names 24 types of event; OpenAI's reference names more, of tools that a provider runs.
"""

from tailrace.dialects.lint import NUMBER, NoneType, Shape

_MAYBE_TEXT = (str, NoneType)
_STATUS = frozenset({"in_progress", "completed", "incomplete"})

# Parts of an item's content or summary that hold words.
PARTS: dict[str, Shape] = {
    "output_text": {"text": str, "annotations": list},
    "refusal": {"refusal": str},
    "reasoning_text": {"text": str},
    "summary_text": {"text": str},
}
# Items whose states the specification describes; items of other types come as their tool makes them.
ITEMS: dict[str, Shape] = {
    "message": {"id": str, "status": _STATUS, "role": str, "content": [{"type": str}]},
    "function_call": {"id": str, "status": _STATUS, "call_id": str, "name": str, "arguments": str},
    "custom_tool_call": {"id": str, "call_id": str, "name": str, "input": str},
    "reasoning": {"id": str, "summary": [{"type": str, "text": str}], "content?": [{"type": str}]},
}

# What a response is in each event that brings it whole. A run that was called off is `cancelled`.
SNAPSHOTS: dict[str, frozenset[str]] = {
    "response.created": frozenset({"queued", "in_progress"}),
    "response.queued": frozenset({"queued"}),
    "response.in_progress": frozenset({"in_progress"}),
    "response.completed": frozenset({"completed"}),
    "response.incomplete": frozenset({"incomplete", "cancelled"}),
    "response.failed": frozenset({"failed", "cancelled"}),
}
TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})

# Deltas of a part's text: event's prefix -> the part's type, and the field of the event's done.
TEXTS = {
    "response.output_text": ("output_text", "text"),
    "response.refusal": ("refusal", "refusal"),
    "response.reasoning_text": ("reasoning_text", "text"),  # OpenAI's name
    "response.reasoning": ("reasoning_text", "text"),  # Open Responses' name
    "response.reasoning_summary_text": ("summary_text", "text"),
}
# Deltas of an item's own text: event's prefix -> the field of the event's done, and of the item.
ARGUMENTS = {
    "response.function_call_arguments": "arguments",
    "response.custom_tool_call_input": "input",
    "response.mcp_call_arguments": "arguments",
    "response.code_interpreter_call_code": "code",
}

_SNAPSHOT: Shape = {
    "response": {
        "id": str,
        "object": str,
        "created_at": NUMBER,
        "status": str,
        "model": str,
        "output": [{"type": str}],
    }
}
_ITEM: Shape = {"output_index": int, "item": {"type": str, "id": str}}
_OF_ITEM = {"item_id": str, "output_index": int}
_OF_PART = {**_OF_ITEM, "content_index": int}
_OF_SUMMARY = {**_OF_ITEM, "summary_index": int}
_OF_COMMAND = {"output_index": int, "command_index": int}
_PART = {"part": {"type": str}}
_DELTA = {"delta": str}

_TOOLS = {
    "code_interpreter_call": ("in_progress", "interpreting", "completed"),
    "file_search_call": ("in_progress", "searching", "completed"),
    "web_search_call": ("in_progress", "searching", "completed"),
    "image_generation_call": ("in_progress", "generating", "partial_image", "completed"),
    "mcp_call": ("in_progress", "completed", "failed"),
    "mcp_list_tools": ("in_progress", "completed", "failed"),
    "compaction": ("compacting",),
}
EVENTS: dict[str, Shape] = {
    **dict.fromkeys(SNAPSHOTS, _SNAPSHOT),
    "error": {},
    "response.output_item.added": _ITEM,
    "response.output_item.done": _ITEM,
    "response.content_part.added": {**_OF_PART, **_PART},
    "response.content_part.done": {**_OF_PART, **_PART},
    "response.reasoning_summary_part.added": {**_OF_SUMMARY, **_PART},
    "response.reasoning_summary_part.done": {**_OF_SUMMARY, **_PART},
    "response.output_text.annotation.added": {**_OF_PART, "annotation_index": int, "annotation": dict},
    **{f"{prefix}.delta": {**_OF_PART, **_DELTA} for prefix in TEXTS},
    **{f"{prefix}.done": {**_OF_PART, key: str} for prefix, (_, key) in TEXTS.items()},
    "response.reasoning_summary_text.delta": {**_OF_SUMMARY, **_DELTA},
    "response.reasoning_summary_text.done": {**_OF_SUMMARY, "text": str},
    **{f"{prefix}.delta": {**_OF_ITEM, **_DELTA} for prefix in ARGUMENTS},
    **{f"{prefix}.done": {**_OF_ITEM, key: str} for prefix, key in ARGUMENTS.items()},
    **{f"response.{tool}.{phase}": {**_OF_ITEM} for tool, phases in _TOOLS.items() for phase in phases},
    **{f"response.shell_call_command.{phase}": _OF_COMMAND for phase in ("added", "delta", "done")},
    **{f"response.shell_call_output_content.{phase}": _OF_COMMAND for phase in ("delta", "done")},
    **{f"response.audio.{phase}": {} for phase in ("delta", "done", "transcript.delta", "transcript.done")},
    **{f"response.apply_patch_call_operation_diff.{phase}": {"output_index": int} for phase in ("delta", "done")},
}

# The 31 keys that every response has, null or not.
REQUIRED: Shape = {
    "id": str,
    "object": frozenset({"response"}),
    "created_at": NUMBER,
    "completed_at": (*NUMBER, NoneType),
    "status": str,
    "incomplete_details": (dict, NoneType),
    "model": str,
    "previous_response_id": _MAYBE_TEXT,
    "instructions": (str, list, NoneType),
    "output": list,
    "error": (dict, NoneType),
    "tools": list,
    "tool_choice": (str, dict),
    "truncation": str,
    "parallel_tool_calls": bool,
    "text": dict,
    "top_p": NUMBER,
    "presence_penalty": NUMBER,
    "frequency_penalty": NUMBER,
    "top_logprobs": int,
    "temperature": NUMBER,
    "reasoning": (dict, NoneType),
    "usage": (dict, NoneType),
    "max_output_tokens": (int, NoneType),
    "max_tool_calls": (int, NoneType),
    "store": bool,
    "background": bool,
    "service_tier": str,
    "metadata": object,
    "safety_identifier": _MAYBE_TEXT,
    "prompt_cache_key": _MAYBE_TEXT,
}
USAGE: Shape = {
    "input_tokens": int,
    "input_tokens_details": {"cached_tokens": int},
    "output_tokens": int,
    "output_tokens_details": {"reasoning_tokens": int},
    "total_tokens": int,
}
# Optional keys that are left out where there is nothing to say.
NEVER_NULL = {
    "response": ("next_response_ids", "context_edits"),
    "text": ("verbosity",),
    "item": ("phase",),
    "part": ("annotations", "logprobs"),
}
