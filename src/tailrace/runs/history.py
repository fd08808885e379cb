"""The conversation that a model call is given: what a thread's runs left, made fit to be said again. Pure.

Providers refuse a conversation with a call that has no answer, an answer without its call, or reasoning with nothing
after it; a run may leave any of these, because it can end at any event, and its input may be a whole conversation that
its client kept: with calls of earlier runs that it answers now, or says once more. So nothing that a run holds can keep
its thread from going on. The result depends on the items alone: the same runs, read anew from the store, give the same
request.

What is done here holds for every wire. What only some wires or hosts cannot take (the form of an id, pictures,
another's reasoning) is theirs to say otherwise, from the same canonical items (adapters/canonical.py `fitted`): in the
log and in this conversation ids stay as they were made.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence

from msgspec.structs import replace

from tailrace.adapters.canonical import MISSING, is_text, parts_of, text_of, with_parts
from tailrace.fold.compaction import compaction_of, shortened
from tailrace.runs.recovery import without_retried
from tailrace.schema import codec
from tailrace.schema.items import (
    CancelledItem,
    ErrorItem,
    FilePart,
    FunctionCallItem,
    FunctionCallOutputItem,
    ImagePart,
    MessageItem,
    Opaque,
    OutputItem,
    Part,
    ProviderItem,
    ReasoningItem,
    ScriptExecutionItem,
)
from tailrace.schema.response import Response

NO_RESULT = "no result: the run ended before the tool had answered"
ABORTED = "aborted: the run was stopped before the tool had answered"
STALE = "(This result came for the tool call {call_id}, which is no part of the conversation.)\n"
STALE_CHARACTERS = 16_000  # of a result whose call is gone: enough to be of use, too little to fill a context
CUT = "\n(The rest is left out.)"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def conversation(previous: Sequence[Response], current: Response) -> list[OutputItem]:
    """The items of the thread's earlier runs, in order, and of this run so far.

    - Of what failed or was called off only a message's text stays, as a message; of a step that was tried again,
      nothing.
    - A provider's own items, and the files that it keeps, stay while the provider is the same; reasoning of another
      model's run is marked with the provider and model it came from, so that no other takes it for its own.
    - Each call is followed, at the end of its turn and in the order of the calls, by exactly one output: its own, or
      one that says there is none (`success` false). Second outputs go. One whose call is gone becomes the user's note,
      never the system's: it is what a tool wrote.
    - A call without a name or an id, or with control characters in its name, goes, and its output with it.
    - A call_id that comes again gets a count behind it, in its output too.
    - What is said once more is left out: a call that still waits for its output, reasoning with the same continuation
      data, a provider's own item. No provider takes their ids twice.
    - Reasoning that no word or deed of its turn came after goes.
    - It begins with the last compaction, whichever run made it (fold/compaction.py).
    """
    runs = [*previous, current]
    answered = {item.call_id for run in runs for item in run.output_items if isinstance(item, FunctionCallOutputItem)}
    kept = [item for run in runs for item in [*_kept(run, current), *_aborted(run, answered)]]
    return list(_trimmed(shortened(list(_paired(_distinct(_once(kept)))))))


def _kept(run: Response, current: Response) -> Iterator[OutputItem]:
    same_provider = run.provider_id == current.provider_id
    same_model = same_provider and run.model_id == current.model_id
    for item in without_retried(run.output_items):
        said = _said(item)
        if isinstance(said, MessageItem | FunctionCallOutputItem) and not same_provider:
            said = _without_files(said)
        if isinstance(said, ReasoningItem) and said.opaque is None and not same_model:
            home = Opaque(provider_id=run.provider_id, model_id=run.model_id, kind="text", data="")
            said = replace(said, opaque=home)
        if said is not None and (same_provider or not isinstance(said, ProviderItem) or compaction_of(said)):
            yield said


def _said(item: OutputItem) -> OutputItem | None:
    """The item as far as it can be said again: None for an empty message, and for what left no text."""
    match item:
        case ErrorItem() | CancelledItem():
            partial = item.partial
            return _said(partial) if isinstance(partial, MessageItem | ErrorItem | CancelledItem) else None
        case MessageItem():
            return item if item.content.strip() or item.parts else None
        case _:
            return item


def _without_files(item: MessageItem | FunctionCallOutputItem) -> MessageItem | FunctionCallOutputItem:
    """The item without what another provider keeps, and knows by an id that is its own."""
    parts = parts_of(item)
    if not any(_is_kept_elsewhere(part) for part in parts):
        return item
    return with_parts(item, [MISSING if _is_kept_elsewhere(part) else part for part in parts])


def _is_kept_elsewhere(part: Part) -> bool:
    return isinstance(part, ImagePart | FilePart) and part.file_id is not None


def _aborted(run: Response, answered: set[str]) -> Iterator[FunctionCallOutputItem]:
    """What became of the calls that nobody answered before the run was stopped or broke off."""
    if run.status in {"aborted", "error"}:
        for item in run.output_items:
            if isinstance(item, FunctionCallItem) and item.call_id not in answered:
                yield _no_result(item, ABORTED)


def _once(items: Iterable[OutputItem]) -> Iterator[OutputItem]:
    """Without what a client that keeps the conversation says once more."""
    waiting: dict[str, FunctionCallItem] = {}
    seen: set[Hashable] = set()
    for item in items:
        if isinstance(item, FunctionCallItem):
            if _is_same(waiting.get(item.call_id), item):
                continue
            waiting[item.call_id] = item
        elif isinstance(item, FunctionCallOutputItem):
            waiting.pop(item.call_id, None)
        mark = _mark(item)
        if mark is None or mark not in seen:
            seen.add(mark)
            yield item


def _is_same(call: FunctionCallItem | None, other: FunctionCallItem) -> bool:
    """Does `other` say the very call once more?"""
    own_ids = {"id": "", "correlation_id": None, "opaque": None}
    return call is not None and replace(call, **own_ids) == replace(other, **own_ids)


def _mark(item: OutputItem) -> Hashable:
    """What no other item has; None for an item that may well be said twice."""
    match item:
        case ReasoningItem(opaque=opaque) if opaque is not None and opaque.data:
            return item.correlation_id or item.id, opaque
        case ProviderItem(data=dict() as data) if not {"id", "tool_use_id"}.isdisjoint(data):
            return codec.encode_canonical(data)
        case _:
            return None


def _distinct(items: Iterable[OutputItem]) -> list[OutputItem]:
    """Each call under a call_id of its own, its output too; without malformed calls and second outputs."""
    used: set[str] = set()
    open_calls: dict[str, str] = {}
    dropped: Counter[str] = Counter()
    distinct: list[OutputItem] = []
    for item in items:
        if isinstance(item, FunctionCallItem):
            if _is_malformed(item):
                dropped[item.call_id] += 1
                continue
            call_id = open_calls[item.call_id] = _unused(item.call_id, used)
            used.add(call_id)
            distinct.append(replace(item, call_id=call_id))
        elif not isinstance(item, FunctionCallOutputItem):
            distinct.append(item)
        elif item.call_id in open_calls:
            distinct.append(replace(item, call_id=open_calls.pop(item.call_id)))
        elif dropped[item.call_id]:
            dropped[item.call_id] -= 1
        elif item.call_id and item.call_id not in used:
            distinct.append(_note(item))
    return distinct


def _is_malformed(call: FunctionCallItem) -> bool:
    """No provider takes it back. A long name, or one with blanks, is no fault: wires make names fit."""
    return not (call.name.strip() and call.call_id) or bool(_CONTROL.search(call.name))


def _note(output: FunctionCallOutputItem) -> MessageItem:
    """A result whose call is gone, as the user's words."""
    head = STALE.format(call_id=output.call_id[:64])
    parts = parts_of(output)
    text = text_of(parts)
    if len(text) > STALE_CHARACTERS:
        text = text[:STALE_CHARACTERS] + CUT
    shown = [part for part in parts if not is_text(part)]
    return MessageItem(id=f"{output.id}_note", content=head + text, origin="user", parts=shown or None)


def _unused(call_id: str, used: set[str]) -> str:
    candidate, count = call_id, 1
    while candidate in used:
        count += 1
        candidate = f"{call_id}_{count}"
    return candidate


def _paired(items: Sequence[OutputItem]) -> Iterator[OutputItem]:
    """Each turn of the agent, then the outputs of its calls; then what came next."""
    outputs = {item.call_id: item for item in items if isinstance(item, FunctionCallOutputItem)}
    waiting: list[FunctionCallItem] = []
    for item in items:
        if not _agents(item):
            yield from (outputs.get(call.call_id) or _no_result(call) for call in waiting)
            waiting = []
        if isinstance(item, FunctionCallItem):
            waiting.append(item)
        if not isinstance(item, FunctionCallOutputItem):
            yield item
    yield from (outputs.get(call.call_id) or _no_result(call) for call in waiting)


def _agents(item: OutputItem) -> bool:
    """Does the item stand in the agent's turn?"""
    if isinstance(item, MessageItem):
        return item.origin == "agent"
    if isinstance(item, ProviderItem):
        return compaction_of(item) is None
    return isinstance(item, ReasoningItem | FunctionCallItem | ScriptExecutionItem)


def _no_result(call: FunctionCallItem, why: str = NO_RESULT) -> FunctionCallOutputItem:
    return FunctionCallOutputItem(id=f"{call.id}_no_result", call_id=call.call_id, output=why, success=False)


def _trimmed(items: Iterable[OutputItem]) -> Iterator[OutputItem]:
    """Without the reasoning that no word or deed of its turn came after."""
    thoughts: list[OutputItem] = []
    for item in items:
        if isinstance(item, ReasoningItem):
            thoughts.append(item)
            continue
        if _agents(item):
            yield from thoughts
        thoughts = []
        yield item
