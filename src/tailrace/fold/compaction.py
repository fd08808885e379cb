"""A conversation made short: what is summed up, how it is asked for, what is kept, and when it is due.

A compaction is an item of the log like any other: a `provider_item` of the type `compaction`, which is what OpenAI and
Anthropic call theirs, with `created_by` "tailrace" in its data. `conversation` (runs/history.py) begins with the last
one: what the user said before it, as far as that fits, the summary, then what came after it. What the user had said
right before it and nobody had answered yet stands behind the summary, which does not know of it.

All that is taken here is a conversation whose calls have their outputs (runs/history.py), and so is all that is given.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from msgspec.structs import replace

from tailrace.fold.estimate import CHARACTERS_PER_TOKEN, input_tokens, size
from tailrace.schema.items import FunctionCallOutputItem, MessageItem, OutputItem, ProviderItem
from tailrace.schema.request import Generation, ModelRequest
from tailrace.schema.response import FinishReason, Response

TYPE = "compaction"
CREATED_BY = "tailrace"
USER_TOKENS = 20_000  # of the user's own words that are kept beside a summary

ASK = (
    "Write a hand-over: someone else goes on with this conversation, and sees nothing of it but the user's latest "
    "messages and what you write now. Do not go on with the work, and call no tool. Say, as far as there is something "
    "to say:\n"
    "1. what the user wants, and what limits and wishes they named\n"
    "2. what has been done, found out and decided, and why\n"
    "3. which files, commands, names, numbers and code matter, word for word\n"
    "4. where things stand now, and what is to be done next\n"
    "5. what is open, or has failed\n"
    "Write only the hand-over, as short as it can be without losing what is needed."
)
LEAD = "(The conversation before this was summed up, to save room. The hand-over:)\n\n"
CUT = "\n(… {} characters are left out here …)\n"

_LEAST = 64  # tokens: of less, nothing is cut out
_CUT_SHARES = (2, 4, 8, 16)  # the longest texts get such a part of the whole, where something has to be cut
_ROOM = 0.9  # of the window that a summary's own request may fill


@dataclass(frozen=True, slots=True)
class CompactionPolicy:
    """When a conversation is summed up: at `threshold` (0: never) of the model's context window, or of
    `context_tokens`. `user_tokens`: how much of what the user said is kept word for word."""

    threshold: float = 0.8
    context_tokens: int | None = None
    user_tokens: int = USER_TOKENS

    def window(self, known: int | None) -> int | None:
        """How many tokens a prompt may have; `known`: the model's own. None where that is not to be watched."""
        return (self.context_tokens or known) if self.threshold else None

    def limit(self, window: int, generation: Generation) -> int:
        """How many it has at most: less than the threshold where an answer may be longer than the rest."""
        answer = generation.max_output_tokens or 0
        return min(int(window * self.threshold), max(window - answer, window // 2))


# --- the item ----------------------------------------------------------------------------------------------------


class Compaction(NamedTuple):
    """What a compaction says. `waiting`: how many messages right before it are not summed up."""

    summary: str
    user_tokens: int
    waiting: int


def compaction_item(item_id: str, summary: str, *, user_tokens: int = USER_TOKENS, waiting: int = 0) -> ProviderItem:
    """The item; `content` is what Anthropic calls the text of its own."""
    data = {"created_by": CREATED_BY, "content": summary, "user_tokens": user_tokens, "waiting": waiting}
    return ProviderItem(id=item_id, provider_type=TYPE, data=data, text=summary)


def compaction_of(item: OutputItem) -> Compaction | None:
    """What the item says, where it is one of ours."""
    if not isinstance(item, ProviderItem) or item.provider_type != TYPE or not isinstance(item.data, dict):
        return None
    data = item.data
    summary = data.get("content")
    if data.get("created_by") != CREATED_BY or not isinstance(summary, str):
        return None
    tokens, waiting = data.get("user_tokens"), data.get("waiting")
    return Compaction(
        summary, tokens if isinstance(tokens, int) else USER_TOKENS, waiting if isinstance(waiting, int) else 0
    )


# --- what it leaves of a conversation ----------------------------------------------------------------------------


def shortened(items: Sequence[OutputItem]) -> list[OutputItem]:
    """The conversation from its last compaction on. Each is of what the one before it left: what that let go of does
    not come back."""
    left: list[OutputItem] = []
    for item in items:
        said = compaction_of(item)
        if said is None:
            left.append(item)
            continue
        told = len(left) - min(max(said.waiting, 0), waiting(left))
        summary = MessageItem(id=item.id, content=LEAD + said.summary, origin="user")
        left = [*kept(left[:told], said.user_tokens), summary, *left[told:]]
    return left


def kept(items: Sequence[OutputItem], tokens: int) -> list[OutputItem]:
    """What stays as it was: the system's messages, and the user's, the newest first, as far as `tokens` go. The one
    that is longer than the rest of them is cut in its middle. An earlier summary is in the new one."""
    left, stays = tokens, list[OutputItem]()
    for item in reversed(items):
        if not isinstance(item, MessageItem) or item.origin == "agent" or _is_summary(item):
            continue
        if item.origin == "system":
            stays.append(item)
            continue
        said = _cut(item, left)
        if size([said]) <= left:
            stays.append(said)
        left -= size([item])
    return stays[::-1]


def waiting(items: Sequence[OutputItem]) -> int:
    """How many messages at the end nobody has answered."""
    return sum(1 for _ in takewhile(lambda item: _is_heard(item) and not _is_summary(item), reversed(items)))


def _is_heard(item: OutputItem) -> bool:
    """Is it said to the agent, not by it?"""
    return isinstance(item, MessageItem) and item.origin != "agent"


def _is_summary(item: OutputItem) -> bool:
    return isinstance(item, MessageItem) and item.content.startswith(LEAD)


def _cut(item: OutputItem, tokens: int) -> OutputItem:
    """A message or an output with the beginning and the end of its text, where all of it takes more than so many
    tokens, and these are worth it."""
    if not isinstance(item, MessageItem | FunctionCallOutputItem) or size([item]) <= tokens or tokens < _LEAST:
        return item
    text = item.content if isinstance(item, MessageItem) else item.output
    half = (tokens - _LEAST // 2) * CHARACTERS_PER_TOKEN // 2
    if len(text) <= 2 * half:
        return item
    short = text[:half] + CUT.format(len(text) - 2 * half) + text[-half:]
    if isinstance(item, MessageItem):
        return replace(item, content=short, parts=None, opaque=None)
    return replace(item, output=short, parts=None)


# --- making one --------------------------------------------------------------------------------------------------


def summed_up(items: Sequence[OutputItem]) -> list[OutputItem] | None:
    """What is to be summed up of a conversation: all but what waits for an answer. None where the agent has said and
    done nothing in it, since it was last summed up."""
    told = list(items[: len(items) - waiting(items)])
    return told if any(not _is_heard(item) for item in told) else None


def fitted(items: Sequence[OutputItem], tokens: int) -> list[OutputItem]:
    """As much of the conversation as goes into so many tokens: long texts are cut in the middle, then the oldest turns
    are left out. A call and its output stay together; the last turn stays whatever it takes."""
    cut = list(items)
    if size(cut) <= tokens:
        return cut
    for share in _CUT_SHARES:
        cut = [_cut(item, tokens // share) for item in items]
        if size(cut) <= tokens:
            return cut
    starts = [0, *(place for place in range(1, len(cut)) if _begins_turn(cut[place - 1], cut[place]))]
    return next((cut[start:] for start in starts if size(cut[start:]) <= tokens), cut[starts[-1] :])


def _begins_turn(before: OutputItem, item: OutputItem) -> bool:
    """May the conversation begin with `item`? Not within a turn of the agent, nor between its calls and outputs."""
    if isinstance(item, FunctionCallOutputItem):
        return False
    return isinstance(before, FunctionCallOutputItem) or _is_heard(before) or _is_heard(item)


def summary_generation(generation: Generation) -> Generation:
    """How a summary is asked for: as the answers are, so that the provider's cache serves; but no tool is called, and
    what holds for an answer's form and length does not."""
    return replace(
        generation, tool_choice="none" if generation.tools else None, parallel_tool_calls=None, max_tool_calls=None,
        output_format=None, max_output_tokens=None, stop=None, top_logprobs=None,
    )  # fmt: skip


def ask(item_id: str) -> MessageItem:
    """What the model is told to do."""
    return MessageItem(id=item_id, content=ASK, origin="user")


def refusal(items: Sequence[OutputItem], item: ProviderItem, finish: FinishReason) -> str | None:
    """Why a summary of the conversation is not taken; None where it is."""
    said = compaction_of(item)
    if finish != "stop":
        return f"the summary is not whole: it ended with {finish}"
    if said is None or not said.summary.strip():
        return "the summary is empty"
    if size(shortened([*items, item])) >= size(items):
        return "the summary is no shorter than what it replaces"
    return None


# --- when --------------------------------------------------------------------------------------------------------


def tokens_of(runs: Sequence[Response], items: Sequence[OutputItem], generation: Generation) -> int:
    """How many tokens `items`, the conversation of these runs, are about to take.

    What the last call was told to cost, its answer included, and an estimate of what came since; an estimate of it all
    where no call said so, or none has since the last compaction, or where the provider ran tools of its own: it counts
    what it said to itself meanwhile, too.
    """
    counted = _counted(runs)
    if counted is None:
        return input_tokens(items, generation)
    since = takewhile(lambda item: isinstance(item, FunctionCallOutputItem) or _is_heard(item), reversed(items))
    return counted + size(since)


def _counted(runs: Sequence[Response]) -> int | None:
    for run in reversed(runs):
        ours = [compaction_of(item) is not None for item in run.output_items if isinstance(item, ProviderItem)]
        if not all(ours):
            return None
        for step in reversed(run.steps):
            if step.purpose is not None:
                if ours:
                    return None
            elif step.usage is not None and step.usage.prompt_tokens:
                return step.usage.prompt_tokens + step.usage.completion_tokens
    return None


def has_failed(run: Response) -> bool:
    """Was the run to be summed up before, in vain? It is not tried again in it."""
    tried = sum(step.purpose is not None and step.finish_reason not in _LOST for step in run.steps)
    return tried > sum(1 for item in run.output_items if compaction_of(item))


_LOST: tuple[FinishReason | None, ...] = (None, "cancelled")  # whose worker was lost, which says nothing of the summary


def source_tokens(size_of_all: int, tokens: int | None, window: int | None) -> int:
    """How large what is summed up may be, by `size`, so that its own request fits: `tokens` is what the conversation
    takes of the `window`; None where all that is known is that it does not fit."""
    if tokens is None or window is None:
        return size_of_all // 2
    return size_of_all if tokens <= window * _ROOM else int(size_of_all * window * _ROOM / tokens)


# The item that a summary makes, by its text and how its step ended; or why none.
Judge = Callable[[str, FinishReason], ProviderItem | str]


class Plan(NamedTuple):
    """A summary to be made: how it is asked for, and what becomes of it."""

    request: ModelRequest
    judge: Judge


def planned(
    runs: Sequence[Response], request: ModelRequest, policy: CompactionPolicy, known_window: int | None, item_id: str,
    *, overflowed: bool = False,
) -> Plan | None:  # fmt: skip
    """The summary that is due before `request`, the next call of the last of these runs; None where none is.

    `known_window`: the model's, in tokens. `overflowed`: the provider has said that the conversation is too long.
    """
    told, generation = summed_up(request.items), request.generation
    window = policy.window(known_window)
    if told is None or not policy.threshold or has_failed(runs[-1]) or (window is None and not overflowed):
        return None
    tokens = None if overflowed else tokens_of(runs, request.items, generation)
    limit = policy.limit(window, generation) if window is not None else size(told)
    if tokens is not None and tokens < limit:
        return None
    user_tokens = min(policy.user_tokens, limit // 4)
    source = fitted(told, source_tokens(size(told), tokens, window))
    asked = replace(
        request, items=[*source, ask(f"{item_id}_ask")], generation=summary_generation(generation)
    )  # fmt: skip

    def judge(summary: str, finish: FinishReason) -> ProviderItem | str:
        item = compaction_item(item_id, summary, user_tokens=user_tokens, waiting=waiting(request.items))
        return refusal(request.items, item, finish) or item

    return Plan(asked, judge)
