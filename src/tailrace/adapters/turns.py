"""A conversation in turns, for wires on which the user and the assistant alternate, and the system stands apart."""

from collections.abc import Callable, Iterable
from itertools import groupby
from operator import itemgetter
from typing import Any

Block = dict[str, Any]
Turn = dict[str, Any]

CONTINUE = "Continue."
BEGIN = "(The conversation begins here.)"


def turns_of(
    blocks: Iterable[tuple[str, Block]], place: Callable[[Block], int], text: Callable[[str], list[Block]]
) -> list[Turn]:
    """What follows in one role is one turn; the user begins, and the assistant's text does not end it.

    Blocks of a turn stand in the order of their `place`, those of one as they came. `text` makes the block of a text,
    which is one that has the key `text`.
    """
    turns: list[Turn] = []
    for role, group in groupby(blocks, key=itemgetter(0)):
        turns.append({"role": role, "content": sorted((block for _, block in group), key=place)})
    if turns and turns[-1]["role"] == "assistant" and "text" in turns[-1]["content"][-1]:
        turns.append({"role": "user", "content": text(CONTINUE)})
    if turns and turns[0]["role"] == "assistant":
        turns.insert(0, {"role": "user", "content": text(BEGIN)})
    return turns


def led_on(blocks: Iterable[tuple[str, Block]], is_thought: Callable[[Block], bool]) -> list[tuple[str, Block]]:
    """Without the thinking that no other block of its turn came after: Claude's hosts refuse it."""
    kept: list[tuple[str, Block]] = []
    has_led_on = False
    for role, block in reversed(list(blocks)):
        thought = is_thought(block)
        if not thought or has_led_on:
            kept.append((role, block))
        if not thought:
            has_led_on = role == "assistant"
    return kept[::-1]


def loop_of(turns: Iterable[Turn], is_result: Callable[[Block], bool]) -> list[Block]:
    """What the assistant has said in the tool loop that the last turn is in: since the user said anything but tools'
    results."""
    loop: list[Block] = []
    for turn in turns:
        if turn["role"] == "assistant":
            loop.extend(turn["content"])
        elif any(not is_result(block) for block in turn["content"]):
            loop = []
    return loop
