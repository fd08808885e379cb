"""Thought signatures: what a Gemini model thought, encrypted, on the part that it led to (`thoughtSignature`).

They must come back on the same part, unchanged, and only to the model that they are of
(https://ai.google.dev/gemini-api/docs/thought-signatures). A message bears its own; any other part has a reasoning item
before it, as on the wires where encrypted reasoning stands by itself: so clients that keep their conversation bring it
back, whatever protocol they speak. The kind of the continuation data names the part.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence

from tailrace.schema.items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    MessageItem,
    Opaque,
    OutputItem,
    ProviderItem,
    ReasoningItem,
)

_PREFIX = "thoughtSignature/"


def kind_of(part: str) -> str:
    """The kind of the continuation data that belongs to a part of this name (`functionCall`, `text`, …)."""
    return _PREFIX + part


def part_of(kind: str) -> str | None:
    """The name of the part that continuation data of this kind belongs to; None where it is no signature."""
    return kind.removeprefix(_PREFIX) if kind.startswith(_PREFIX) else None


def signed_parts(items: Sequence[OutputItem], returned: Callable[[Opaque], str | None]) -> dict[int, str]:
    """The signatures of calls and of the provider's own parts, by the place of the item that each belongs to.

    Each goes to the next part of its kind in the same turn: some protocols bring all reasoning of a turn first. Where
    there are more signatures left than parts, the oldest was of a part that is gone (a call that broke off).
    """
    left = _left(items)
    found: dict[int, str] = {}
    waiting: defaultdict[str, deque[str]] = defaultdict(deque)
    for at, item in enumerate(items):
        if _ends_turn(item):
            waiting.clear()
        elif isinstance(item, ReasoningItem) and item.opaque is not None:
            signature = returned(item.opaque)
            if signature is not None:
                waiting[part_of(item.opaque.kind) or ""].append(signature)
        elif (part := _part(item)) is not None:
            queue = waiting[part]
            while len(queue) > left[at]:
                queue.popleft()
            if queue:
                found[at] = queue.popleft()
    return found


def _left(items: Sequence[OutputItem]) -> list[int]:
    """For each part, how many of its kind are left in its turn, itself included."""
    counts: Counter[str] = Counter()
    left: list[int] = []
    for item in reversed(items):
        if _ends_turn(item):
            counts.clear()
        part = _part(item) or ""
        counts[part] += 1
        left.append(counts[part])
    return left[::-1]


def _part(item: OutputItem) -> str | None:
    if isinstance(item, FunctionCallItem):
        return "functionCall"
    return item.provider_type if isinstance(item, ProviderItem) else None


def _ends_turn(item: OutputItem) -> bool:
    return isinstance(item, FunctionCallOutputItem) or (isinstance(item, MessageItem) and item.origin != "agent")
