"""The answer to a call that asks for a summary, told as one compaction on its way to the log. Wire-neutral.

What the model says grows the item, and what it thinks the item's channel `reasoning`: neither is an answer, nor to be
said again. Whatever else it makes (a call, in spite of everything) is kept whole as a `provider_event`. The item ends
with the step, because only then is it known whether the summary is taken.
"""

from collections.abc import Iterator, Sequence

from tailrace.fold.compaction import TYPE, Judge
from tailrace.schema import codec
from tailrace.schema.events import (
    ItemCancelled,
    ItemDelta,
    ItemDone,
    ItemError,
    ItemStart,
    Payload,
    ProviderEvent,
    StepDone,
)
from tailrace.schema.items import MessageItem, ProviderItem, ReasoningItem

FAILED = "compaction_failed"  # the event that says why a conversation is as long as it was

_CHANNELS = {"message": None, "reasoning": "reasoning"}


def failed(reason: str) -> ProviderEvent:
    """A conversation could not be summed up."""
    return ProviderEvent(provider_id="tailrace", name=FAILED, data={"reason": reason})


class Summing:
    """Retells the payloads of one step, whose item has the id `item_id`."""

    def __init__(self, item_id: str, judge: Judge) -> None:
        self._item_id = item_id
        self._judge = judge
        self._channels: dict[str, str | None] = {}
        self._texts: list[str] = []
        self._begun = False

    def retold(self, payloads: Sequence[Payload]) -> list[Payload]:
        """These payloads as the log is to have them."""
        return [said for payload in payloads for said in self._retold(payload)]

    def _retold(self, payload: Payload) -> Iterator[Payload]:
        match payload:
            case ItemStart():
                yield from self._begin(payload)
            case ItemDelta():
                yield from self._grow(payload.item_id, payload.delta_content if payload.channel is None else "")
            case ItemDone(final_item=MessageItem(content=text)):
                self._texts.append(text)
            case ItemDone(final_item=ReasoningItem()) | ItemError() | ItemCancelled():
                pass
            case ItemDone(final_item=item):
                yield ProviderEvent(provider_id="tailrace", name="item", data=codec.to_builtins(item))
            case StepDone():
                yield from self._end(payload)
            case _:
                yield payload

    def _begin(self, start: ItemStart) -> Iterator[Payload]:
        if start.item_type not in _CHANNELS:
            return
        self._channels[start.item_id] = _CHANNELS[start.item_type]
        yield from self._open()
        yield from self._grow(start.item_id, start.initial_content or "")

    def _open(self) -> Iterator[Payload]:
        if not self._begun:
            self._begun = True
            yield ItemStart(item_id=self._item_id, item_type="provider_item", provider_type=TYPE)

    def _grow(self, item_id: str, text: str) -> Iterator[Payload]:
        if text and item_id in self._channels:
            yield ItemDelta(item_id=self._item_id, delta_content=text, channel=self._channels[item_id])

    def _end(self, done: StepDone) -> Iterator[Payload]:
        made = self._judge("".join(self._texts).strip(), done.finish_reason)
        if isinstance(made, ProviderItem):
            yield from self._open()
            yield ItemDone(item_id=self._item_id, final_item=made)
        else:
            if self._begun:
                yield ItemCancelled(item_id=self._item_id, reason=made)
            yield failed(made)
        yield done
