"""The rules of a Responses stream (Open Responses, specification of 2026-04-24; OpenAI API reference).

Where the two differ (names of reasoning events, form of an error), both are legal.
"""

import re
from collections.abc import Iterator

from tailrace.dialects.framing import Framing
from tailrace.dialects.lint import Event, Rule, Ruleset, misfits, number_of, shortened
from tailrace.dialects.responses.lint_events import (
    ARGUMENTS,
    EVENTS,
    ITEMS,
    NEVER_NULL,
    PARTS,
    REQUIRED,
    SNAPSHOTS,
    TEXTS,
    USAGE,
)
from tailrace.dialects.responses.lint_state import Item, Part, Stream, index_key, next_index, texts_of

RENEWED = frozenset({"encrypted_content"})  # OpenAI seals it anew each time that it shows it
_EXTENSION = re.compile(r"[a-z0-9][\w.-]*:\S+")


def _known_type(_: Stream, event: Event) -> Iterator[str]:
    kind = event.get("type")
    if not isinstance(kind, str) or (kind not in EVENTS and not _EXTENSION.fullmatch(kind)):
        yield f"{kind!r} is no type of event, nor an extension (`slug:name`)"


def _sequence(stream: Stream, event: Event) -> Iterator[str]:
    number = event.get("sequence_number")
    if number_of(number) is None:
        yield f"sequence_number is {number!r}"
    elif number != stream.next_number:
        yield f"{number} follows {stream.next_number - 1}" if stream.next_number else f"the first is {number}, not 0"


def _shape(_: Stream, event: Event) -> Iterator[str]:
    found = list(misfits(event, EVENTS.get(event["type"], {})))
    yield from found
    if found:
        return
    if "item" in event:
        yield from misfits(event["item"], ITEMS.get(event["item"]["type"], {}), "item")
    elif "part" in event:
        yield from misfits(event["part"], PARTS.get(event["part"]["type"], {}), "part")
    elif "response" in event:
        for index, item in enumerate(event["response"]["output"]):
            yield from misfits(item, ITEMS.get(item["type"], {}), f"response.output[{index}]")


def _after_end(stream: Stream, event: Event) -> Iterator[str]:
    if stream.ended:
        yield f"{event['type']} behind {stream.terminal}"


def _created_first(stream: Stream, event: Event) -> Iterator[str]:
    if (event["type"] == "response.created") == stream.has_begun:
        yield "a second response.created" if stream.has_begun else f"the stream begins with {event['type']}"


def _constant(stream: Stream, event: Event) -> Iterator[str]:
    if stream.head is not None and event["type"] in SNAPSHOTS:
        for name in ("id", "object", "created_at", "model"):
            was, now = stream.head[name], event["response"][name]
            if was != now:
                yield f"`{name}` was {was!r} and is {now!r}"


def _status(_: Stream, event: Event) -> Iterator[str]:
    legal = SNAPSHOTS.get(event["type"])
    if legal is not None and event["response"]["status"] not in legal:
        yield f"the response of a {event['type']} is {event['response']['status']}"


def _outcome(_: Stream, event: Event) -> Iterator[str]:
    if event["type"] not in SNAPSHOTS:
        return
    response = event["response"]
    for name, status in (("error", "failed"), ("incomplete_details", "incomplete")):
        is_given = response.get(name) is not None
        if is_given != (response["status"] == status) and response["status"] != "cancelled":
            yield f"`{name}` is {'given' if is_given else 'null'} in a response that is {response['status']}"


def _required(_: Stream, event: Event) -> Iterator[str]:
    found = list(misfits(event["response"], REQUIRED, "response")) if event["type"] in SNAPSHOTS else []
    if found:
        yield ", ".join(found)


def _never_null(_: Stream, event: Event) -> Iterator[str]:
    response = event["response"] if event["type"] in SNAPSHOTS else {}
    items = [item for item in [event.get("item"), *response.get("output", [])] if item and item["type"] in ITEMS]
    parts = [part for item in items for part in item.get("content") or []]
    found = [("response", response), ("text", response.get("text")), ("part", event.get("part"))]
    found += [("item", item) for item in items] + [("part", part) for part in parts]
    for kind, value in found:
        if isinstance(value, dict):
            yield from (f"`{name}` of a {kind} is null" for name in NEVER_NULL[kind] if value.get(name, 0) is None)


def _usage(_: Stream, event: Event) -> Iterator[str]:
    if event["type"] != "response.completed":
        return
    usage = event["response"].get("usage")
    found = list(misfits(usage, USAGE, "response.usage"))
    yield from found
    if not found and usage["total_tokens"] < usage["input_tokens"] + usage["output_tokens"]:
        yield "`response.usage.total_tokens` is less than the sum of the others"


def _error_then_failed(stream: Stream, event: Event) -> Iterator[str]:
    if stream.has_error and event["type"] not in {"error", "response.failed"}:
        yield f"{event['type']} behind an error"


def _error_shape(_: Stream, event: Event) -> Iterator[str]:
    if event["type"] == "error":
        nested = event["error"] if isinstance(event.get("error"), dict) else {}
        yield from misfits({**event, **nested}, {"message": str, "code": object})


# --- items --------------------------------------------------------------------------------------------------------


def _item_index(stream: Stream, event: Event) -> Iterator[str]:
    following = next_index(stream.items)
    if event["type"] == "response.output_item.added" and event["output_index"] != following:
        yield f"item {event['output_index']} is added, not item {following}"


def _item_constant(stream: Stream, event: Event) -> Iterator[str]:
    if event["type"] == "response.output_item.added":
        if any(item.added["id"] == event["item"]["id"] for item in stream.items.values()):
            yield f"a second item {event['item']['id']!r}"
        return
    item = stream.item(event)
    if item is None:
        return
    found = event["item"] if "item" in event else {"id": event.get("item_id", item.added["id"])}
    for name in ("id", "type", "role", "name", "call_id"):
        if name in found and item.added.get(name, "") not in {"", found[name]}:
            yield f"`{name}` of item {event['output_index']} was {item.added[name]!r} and is {found[name]!r}"


def _item_open(stream: Stream, event: Event) -> Iterator[str]:
    if "output_index" in event and event["type"] != "response.output_item.added":
        item = stream.item(event)
        if item is None or item.done is not None:
            state = "which was never added" if item is None else "which is done"
            yield f"{event['type']} of item {event['output_index']}, {state}"


def _item_closed(stream: Stream, event: Event) -> Iterator[str]:
    if event["type"] in {"response.completed", "response.incomplete"}:
        for index, item in stream.items.items():
            if item.done is None:
                yield f"{event['type']} while item {index} is not done"


def _item_status(_: Stream, event: Event) -> Iterator[str]:
    kind, item = event["type"], event.get("item")
    if not isinstance(item, dict) or item["type"] not in ITEMS:
        return  # an item that a provider's own tool made has states of its own
    legal = {"in_progress"} if kind == "response.output_item.added" else {"completed", "incomplete"}
    if "status" in item and item["status"] not in legal:
        yield f"an item with status {item['status']!r} in {kind}"


def _incomplete_last(stream: Stream, event: Event) -> Iterator[str]:
    if event["type"] == "response.completed" and stream.items:
        index, last = next(reversed(stream.items.items()))
        if last.done is not None and last.done.get("status") == "incomplete":
            yield f"item {index}, the last, is incomplete, and the response completed"


# --- parts and texts ----------------------------------------------------------------------------------------------


def _part_index(stream: Stream, event: Event) -> Iterator[str]:
    item, key = stream.item(event), index_key(event)
    if item is not None and key is not None and event["type"].endswith("_part.added"):
        following = next_index(item.parts[key])
        if event[key] != following:
            yield f"part {event[key]} of item {event['output_index']} is added, not part {following}"


def _part_open(stream: Stream, event: Event) -> Iterator[str]:
    item, key = stream.item(event), index_key(event)
    if item is None or item.done is not None or key is None or event["type"].endswith("_part.added"):
        return
    part = stream.part(event)
    if part is None or not part.is_open:
        state = "which was never added" if part is None else "which is done"
        yield f"{event['type']} in part {event[key]} of item {event['output_index']}, {state}"
        return
    prefix, _, phase = event["type"].rpartition(".")
    if prefix in TEXTS and TEXTS[prefix][0] != part.kind:
        yield f"{event['type']} in a part of type {part.kind}"
    elif prefix in TEXTS and part.whole is not None:
        yield f"{event['type']} behind the text's {phase if phase == 'done' else 'done'}"


def _part_closed(stream: Stream, event: Event) -> Iterator[str]:
    item = stream.item(event)
    if event["type"] == "response.output_item.done" and item is not None:
        for index in (index for parts in item.parts.values() for index, part in parts.items() if part.is_open):
            yield f"item {event['output_index']} is done while its part {index} is open"


def _text_done(stream: Stream, event: Event) -> Iterator[str]:
    prefix, _, phase = event["type"].rpartition(".")
    part = stream.part(event)
    if part is None:
        return
    if prefix in TEXTS and phase == "done":
        text = event[TEXTS[prefix][1]]
        if text != part.text:
            yield f"done with {shortened(text)}; the deltas were {shortened(part.text)}"
    elif event["type"].endswith("_part.done") and part.whole is None and part.kind in PARTS:
        yield f"a part of type {part.kind} is done, and its text was not"


def _part_text(stream: Stream, event: Event) -> Iterator[str]:
    part = stream.part(event)
    if part is None or not event["type"].endswith("_part.done"):
        return
    (kind, text), *_ = texts_of([event["part"]])
    if kind != part.kind:
        yield f"a part of type {part.kind} is done as {kind}"
    elif kind in PARTS and text is not None and part.whole is not None and text != part.whole:
        yield f"the part has {shortened(text)}; its text was {shortened(part.whole)}"


def _item_text(stream: Stream, event: Event) -> Iterator[str]:
    item = stream.item(event)
    if event["type"] != "response.output_item.done" or item is None or event["item"]["type"] not in ITEMS:
        return
    for key, name in (("content_index", "content"), ("summary_index", "summary")):
        parts: list[Part] = list(item.parts[key].values())
        said = [(part.kind, part.whole) for part in parts if part.whole is not None or part.kind not in PARTS]
        final = texts_of(event["item"].get(name) or [])
        if final != said and len(said) == len(parts):
            yield f"`{name}` of item {event['output_index']} is not what its parts were"


def _arguments(stream: Stream, event: Event) -> Iterator[str]:
    prefix, _, phase = event["type"].rpartition(".")
    item = stream.item(event)
    if prefix not in ARGUMENTS or item is None:
        return
    if item.whole is not None:
        yield f"{event['type']} behind the {ARGUMENTS[prefix]}'s done"
    elif phase == "done" and event[ARGUMENTS[prefix]] != item.pieces:
        yield f"done with {shortened(event[ARGUMENTS[prefix]])}; the deltas were {shortened(item.pieces)}"


def _item_arguments(stream: Stream, event: Event) -> Iterator[str]:
    item = stream.item(event)
    if event["type"] == "response.output_item.done" and item is not None:
        yield from _misspoken(item, event["item"])


_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}


def _misspoken(item: Item, final: Event) -> Iterator[str]:
    if item.whole is None:
        if final["type"] in _CALLS and final.get("status") != "incomplete":
            yield f"a {final['type']} is done, and its {_CALLS[final['type']]} were not"
    elif item.whole_key in final and final[item.whole_key] != item.whole:
        yield f"the item has {shortened(str(final[item.whole_key]))}; its deltas were {shortened(item.whole)}"


def _final_output(stream: Stream, event: Event) -> Iterator[str]:
    if event["type"] not in {"response.completed", "response.incomplete"}:
        return
    output, done = event["response"]["output"], [one.done for one in stream.items.values() if one.done]
    if len(output) != len(done):
        yield f"`output` has {len(output)} items; {len(done)} were done"
    for index, (final, item) in enumerate(zip(output, done, strict=False)):
        names = [name for name in {**final, **item} if final.get(name) != item.get(name) and name not in RENEWED]
        if names:
            yield f"`output[{index}]` differs from the item that was done: {', '.join(names)}"


def _terminal(stream: Stream) -> Iterator[str]:
    if not stream.ended:
        yield "the stream ends without response.completed, response.incomplete or response.failed"


_ITEM_STATES = "Open Responses, item state machine"
_STREAMING = "Open Responses, streaming"
_RESOURCE = "Open Responses, ResponseResource"
_OPENAI = "OpenAI API reference, streaming events"
RULES: tuple[Rule[Stream], ...] = (
    Rule("sequence", "sequence_number is 0, 1, 2, …", _STREAMING + "; OpenAI API reference", _sequence),
    Rule("event-type", "An event is of a type that OpenAI or Open Responses lists, or an extension `slug:name`.",
         "Open Responses, extensions; " + _OPENAI, _known_type, gate=True),
    Rule("shape", "An event has its type's fields, each of its kind.", _OPENAI, _shape, gate=True),
    Rule("after-terminal", "Nothing follows the terminal event.", _STREAMING, _after_end, gate=True),
    Rule("created-first", "response.created comes first, once.", _STREAMING, _created_first),
    Rule("constant", "The response keeps its id, created_at and model.", _STREAMING, _constant),
    Rule("status", "The response's status is the one of the event that brings it.", _STREAMING, _status),
    Rule("outcome", "A failed response has an error, an incomplete one incomplete_details, others neither.",
         _RESOURCE, _outcome),
    Rule("required-keys", "A response has all 31 required keys, each of its kind.", _RESOURCE, _required),
    Rule("never-null", "An optional key that may not be null is left out instead.", _RESOURCE, _never_null),
    Rule("usage", "A completed response has its usage; total_tokens is the sum, or more.", _RESOURCE, _usage),
    Rule("error-shape", "An error has a code and a message (nested or not).", f"{_STREAMING}; {_OPENAI}", _error_shape),
    Rule("error-then-failed", "An error is followed by response.failed.", _STREAMING + ", errors", _error_then_failed),
    Rule("item-index", "Items are added at output_index 0, 1, 2, …", _STREAMING, _item_index),
    Rule("item-open", "What concerns an item comes between its output_item.added and its output_item.done.",
         _ITEM_STATES, _item_open),
    Rule("item-constant", "An item keeps its id, type, role, name and call_id; ids are unique.", _ITEM_STATES,
         _item_constant),
    Rule("item-closed", "Every item is done before the response is completed or incomplete.", _ITEM_STATES,
         _item_closed),
    Rule("item-status", "An item is added in_progress, and done completed or incomplete.", _ITEM_STATES, _item_status),
    # The text wants an incomplete item to be the last of all; a run that goes on after a failed attempt keeps what was
    # cut where it stood.
    Rule("incomplete-last", "A response whose last item is incomplete is not completed.", _ITEM_STATES,
         _incomplete_last),
    Rule("part-index", "Parts are added at index 0, 1, 2, …", _STREAMING, _part_index),
    Rule("part-open", "Deltas come between the added and the done of a part of their type, before the text's done.",
         _STREAMING, _part_open),
    Rule("part-closed", "Every part is done before its item is.", _STREAMING, _part_closed),
    Rule("text-done", "A text's done holds what its deltas add up to, and comes before its part's done.", _STREAMING,
         _text_done),
    Rule("part-text", "A part's done holds its text.", _STREAMING, _part_text),
    Rule("item-text", "An item's done holds its parts.", _STREAMING, _item_text),
    Rule("arguments-done", "A call's arguments are done once, with what their deltas add up to.", _STREAMING,
         _arguments),
    Rule("item-arguments", "A call's done holds its arguments, which were done before it.", _STREAMING,
         _item_arguments),
    Rule("final-output", "The response's output is the items that were done.", _STREAMING, _final_output),
    Rule("terminal", "The stream ends with response.completed, response.incomplete or response.failed.", _STREAMING,
         at_end=_terminal),
)  # fmt: skip
FRAMING = Framing(named=_STREAMING, done=_STREAMING, ids="vendor")
RULESET = Ruleset("responses", FRAMING, RULES, Stream)
