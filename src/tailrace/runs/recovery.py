"""What is done about a model call that failed: what the log shows of it in, a remedy out. Pure; `model_call` obeys.

The rule that is never bent: once a tool call or any visible output has reached the log, nothing is replayed behind the
readers' backs. What nobody has seen may be asked for again within its step. What has been seen is cancelled where it
stands, and asked for again, where that is allowed at all, in a step of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tailrace.fold.reducer import Reducer
from tailrace.schema.errors import Fault, ProviderError
from tailrace.schema.events import ItemStart, Payload, StepDone
from tailrace.schema.items import CancelledItem, FunctionCallItem, OutputItem, ReasoningItem
from tailrace.upstream.retry import RetryPolicy

RETRIED = "the answer broke off and is asked for again"  # why the items of a step that is tried again were cancelled
EMPTY = 2  # how often an answer without a word is asked for again, before it is taken as it is
_MOST_TOKENS = 1  # of an answer that is no answer; who chooses to say nothing spends more on it
DEGENERATE = 2  # how often a call that was no call may be asked for again, where nothing else was said

# What readers have seen of a step: nothing; nothing that says or does anything (thoughts, a call that was begun); words
# that were not finished; something whole, that may be acted upon already.
Shown = Literal["nothing", "thoughts", "words", "whole"]


@dataclass(frozen=True, slots=True)
class Again:
    """Ask again within the step: nobody will know."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Restart:
    """Cancel what is open, end the step, and ask again in a new one: everybody sees it."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The error stands."""


Remedy = Again | Restart | GiveUp


@dataclass(slots=True)
class Tries:
    """What has been tried since a model call last went well: the one budget that all tries share, invisible ones and
    new steps alike. `since`: when the first began, by the caller's clock, in seconds.

    `is_itemised`: does the run's own protocol show its client that an item was cancelled? Where a text is only ever
    added to, one that begins anew would be taken for its own continuation.
    """

    is_itemised: bool = True
    since: float = 0.0
    made: int = 0
    restarts: int = 0
    empty: int = 0

    def begin(self, now: float) -> None:
        """One more."""
        if self.made == 0:
            self.since = now
        self.made += 1

    def forget(self) -> None:
        """A call went well."""
        self.made = self.restarts = self.empty = 0


def shown_of(state: Reducer, seen: int) -> Shown:
    """What the log shows of the step at hand, whose items are all but the first `seen`."""
    items = list(state.item_ids)[seen:]
    if not items:
        return "nothing"
    is_open = state.open_ids
    finished = [item for item in map(state.item, items) if item is not None and item.id not in is_open]
    if items[-1] not in is_open or not all(isinstance(item, ReasoningItem) for item in finished):
        return "whole"
    begun = [state.item(item_id) for item_id in items]
    return "thoughts" if all(isinstance(item, ReasoningItem | FunctionCallItem) for item in begun) else "words"


def recover(
    error: ProviderError,
    shown: Shown,
    tries: Tries,
    now: float,
    policy: RetryPolicy,
    random: Callable[[], float],
    *,
    elsewhere: bool = False,
) -> Remedy:
    """What to do after `error`; `random` draws from [0, 1). `elsewhere`: another key may be spared it, which is of use
    as long as nothing was shown."""
    elsewhere = elsewhere and shown == "nothing"
    delay = policy.delay(
        error, attempt=tries.made, elapsed_s=now - tries.since, random=random, elsewhere=elsewhere
    )  # fmt: skip
    if delay is None or shown == "whole" or tries.empty > EMPTY:
        return GiveUp()
    if shown == "nothing":
        return Again(delay)
    allowed = policy.restarts
    if shown == "thoughts" and Fault.MALFORMED_CALL in error.faults:
        allowed = max(allowed, DEGENERATE)
    return Restart(delay) if tries.is_itemised and tries.restarts < allowed else GiveUp()


def is_empty(payloads: Sequence[Payload]) -> bool:
    """Do these end a step, of which nothing was shown before, as if there had been an answer? Proxies lose some."""
    done = payloads[-1]
    if not isinstance(done, StepDone) or any(isinstance(payload, ItemStart) for payload in payloads):
        return False
    return done.finish_reason == "stop" and (done.usage is None or done.usage.completion_tokens <= _MOST_TOKENS)


def without_retried(items: Sequence[OutputItem]) -> Iterator[OutputItem]:
    """A run's items without those of steps that were asked for again: their answers are other items, further on."""
    thoughts: list[OutputItem] = []
    for item in items:
        if isinstance(item, ReasoningItem):
            thoughts.append(item)
        elif isinstance(item, CancelledItem) and item.reason == RETRIED:
            thoughts.clear()
        else:
            yield from thoughts
            thoughts.clear()
            yield item
    yield from thoughts
