"""The conversation that a model call is given: what a thread's runs left, made fit to be said again. Pure.

Providers refuse a conversation with a call that has no answer, an answer without its call, or reasoning with nothing
after it; a run may leave any of these, because it can end at any event, and its input may be a whole conversation that
its client kept: with calls of earlier runs that it answers now, or says once more. So nothing that a run holds can keep
its thread from going on. The result depends on the items alone: the same runs, read anew from the store, give the same
request.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence

from msgspec.structs import replace

from tailrace.runs.recovery import without_retried
from tailrace.schema import codec
from tailrace.schema.items import (
    CancelledItem,
    ErrorItem,
    FunctionCallItem,
    FunctionCallOutputItem,
    MessageItem,
    OutputItem,
    ProviderItem,
    ReasoningItem,
    ScriptExecutionItem,
)
from tailrace.schema.response import Response

NO_RESULT = "no result: the run ended before the tool had answered"


def conversation(previous: Sequence[Response], current: Response) -> list[OutputItem]:
    """The items of the thread's earlier runs, in order, and of this run so far.

    - Of what failed or was called off only a message's text stays, as a message; of a step that was tried again,
      nothing.
    - A provider's own items stay while the provider is the same.
    - Each call is followed, at the end of its turn and in the order of the calls, by exactly one output: its own, or
      one that says there is none (`success` false). Outputs without a call, and second ones, go.
    - A call_id that comes again gets a count behind it, in its output too.
    - What is said once more is left out: a call that still waits for its output, reasoning with the same continuation
      data, a provider's own item. No provider takes their ids twice.
    """
    runs = [*previous, current]
    kept = [item for run in runs for item in _kept(run, same_provider=run.provider_id == current.provider_id)]
    return list(_trimmed(_paired(_distinct(_once(kept)))))


def _kept(run: Response, *, same_provider: bool) -> Iterator[OutputItem]:
    for item in without_retried(run.output_items):
        said = _said(item)
        if said is not None and (same_provider or not isinstance(said, ProviderItem)):
            yield said


def _said(item: OutputItem) -> OutputItem | None:
    """The item as far as it can be said again: None for an empty message, a nameless call, and what left no text."""
    match item:
        case ErrorItem() | CancelledItem():
            partial = item.partial
            return _said(partial) if isinstance(partial, MessageItem | ErrorItem | CancelledItem) else None
        case MessageItem():
            return item if item.content.strip() or item.parts else None
        case FunctionCallItem():
            return item if item.name and item.call_id else None
        case _:
            return item


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
        case ReasoningItem(opaque=opaque) if opaque is not None:
            return item.correlation_id or item.id, opaque
        case ProviderItem(data=dict() as data) if not {"id", "tool_use_id"}.isdisjoint(data):
            return codec.encode_canonical(data)
        case _:
            return None


def _distinct(items: Iterable[OutputItem]) -> list[OutputItem]:
    """Each call under a call_id of its own, its output too; without the outputs that have no call or come second."""
    used: set[str] = set()
    open_calls: dict[str, str] = {}
    distinct: list[OutputItem] = []
    for item in items:
        if isinstance(item, FunctionCallItem):
            call_id = open_calls[item.call_id] = _unused(item.call_id, used)
            used.add(call_id)
            distinct.append(replace(item, call_id=call_id))
        elif not isinstance(item, FunctionCallOutputItem):
            distinct.append(item)
        elif item.call_id in open_calls:
            distinct.append(replace(item, call_id=open_calls.pop(item.call_id)))
    return distinct


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
    return isinstance(item, ReasoningItem | FunctionCallItem | ProviderItem | ScriptExecutionItem)


def _no_result(call: FunctionCallItem) -> FunctionCallOutputItem:
    return FunctionCallOutputItem(id=f"{call.id}_no_result", call_id=call.call_id, output=NO_RESULT, success=False)


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
