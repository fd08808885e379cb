"""A script, planned: which blocks there are, and in which order they open, grow and close. Wire-neutral and pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal, NamedTuple

from tailrace.testing.moves import (
    Begin,
    Burst,
    Bytes,
    Call,
    Close,
    Control,
    Cut,
    CutAt,
    Drip,
    Fail,
    Finish,
    FinishAs,
    Flood,
    Gate,
    Interleaved,
    KeepAlive,
    Move,
    Paced,
    Pause,
    Raw,
    Reasoning,
    Spent,
    Stall,
    Text,
)

Kind = Literal["reasoning", "text", "refusal", "call"]
_CHARS_PER_TOKEN = 4


@dataclass(slots=True)
class Block:
    """One output item; `text` is all of it (a call's arguments)."""

    index: int
    kind: Kind
    text: str = ""
    name: str = ""
    call_id: str = ""
    redacted: bool = False


class Opened(NamedTuple):
    """A block begins."""

    block: Block


class Grew(NamedTuple):
    """A block grows by a piece."""

    block: Block
    piece: str


class Closed(NamedTuple):
    """A block is whole."""

    block: Block


class Flooded(NamedTuple):
    """A block grows by the same piece, many times."""

    block: Block
    piece: str
    times: int


Op = Opened | Grew | Flooded | Closed | Fail | KeepAlive | Begin | Bytes | Raw | Control


@dataclass(slots=True)
class Plan:
    """What to do in order, what it amounts to, and how it ends."""

    finish: FinishAs
    spent: Spent
    ops: list[Op] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    faults: tuple[CutAt | Drip, ...] = ()  # of the way: shape.py

    @property
    def failure(self) -> Fail | None:
        """The error that ends it, if one does."""
        return next((op for op in self.ops if isinstance(op, Fail)), None)


def make_plan(moves: Sequence[Move], prompt_tokens: int) -> Plan:
    """Plan `moves`; `prompt_tokens` is what the request is taken to have cost."""
    planner = _Planner(refused=Finish("refusal") in moves)
    planner.take(move for move in moves if not isinstance(move, CutAt | Drip))
    planner.close()
    blocks = sorted(planner.blocks, key=lambda block: block.index)
    tokens = {"all": 0, "reasoning": 0}
    for block in blocks:
        cost = -(-len(block.text) // _CHARS_PER_TOKEN)
        tokens["all"] += cost
        tokens["reasoning"] += cost if block.kind == "reasoning" else 0
    estimate = Spent(prompt_tokens, tokens["all"], reasoning=tokens["reasoning"])
    implied: FinishAs = "tool_calls" if any(block.kind == "call" for block in blocks) else "stop"
    faults = tuple(move for move in moves if isinstance(move, CutAt | Drip))
    return Plan(planner.finish or implied, planner.spent or estimate, planner.ops, blocks, faults)


class _Planner:
    def __init__(self, *, refused: bool) -> None:
        self.ops: list[Op] = []
        self.blocks: list[Block] = []
        self.finish: FinishAs | None = None
        self.spent: Spent | None = None
        self._said: Kind = "refusal" if refused else "text"
        self._open: Block | None = None
        self._pause: Pause | None = None

    def take(self, moves: Iterable[Move]) -> None:
        for move in moves:
            match move:
                case Text() | Burst():
                    self._speak(_pieces_of(move))
                case Reasoning() | Call():
                    self._whole_block(move)
                case Paced(seconds, inner):
                    outer, self._pause = self._pause, Pause(seconds)
                    self.take(inner)
                    self._pause = outer
                case Finish(reason):
                    self.finish = reason
                case Spent():
                    self.spent = move
                case Flood(piece, times, name):
                    self._flood(piece, times, name)
                case Interleaved(inner, backwards):
                    self._interleave(inner, backwards=backwards)
                case Fail() | KeepAlive() | Begin() | Bytes() | Raw() | Pause() | Gate() | Stall() | Cut() | Close():
                    self.ops.append(move)
                case _:
                    raise ValueError(f"{move!r} cannot stand there in a script")

    def close(self) -> None:
        failed = bool(self.ops) and isinstance(self.ops[-1], Fail)
        if self._open is not None and not failed:
            self.ops.append(Closed(self._open))
        self._open = None

    def _speak(self, pieces: Iterable[str]) -> None:
        if self._open is None:
            self._open = self._begin(Block(len(self.blocks), self._said))
        self._grow(self._open, pieces)

    def _whole_block(self, move: Reasoning | Call) -> None:
        self.close()
        block = self._begin(self._block(move, len(self.blocks)))
        self._grow(block, _pieces_of(move))
        self.ops.append(Closed(block))

    def _block(self, move: Text | Reasoning | Call, index: int) -> Block:
        if isinstance(move, Text):
            return Block(index, self._said)
        if isinstance(move, Reasoning):
            return Block(index, "reasoning", redacted=move.redacted)
        return Block(index, "call", name=move.name, call_id=move.call_id)

    def _flood(self, piece: str, times: int, name: str) -> None:
        self.close()
        block = self._begin(Block(len(self.blocks), "call" if name else self._said, name=name))
        self.ops += [Flooded(block, piece, times), Closed(block)]

    def _interleave(self, moves: Sequence[Text | Reasoning | Call], *, backwards: bool) -> None:
        self.close()
        places = range(len(self.blocks), len(self.blocks) + len(moves))
        blocks = [self._block(move, at) for move, at in zip(moves, places[::-1] if backwards else places, strict=True)]
        for block in blocks:
            self._begin(block)
        for turn in zip_longest(*map(_pieces_of, moves)):
            for block, piece in zip(blocks, turn, strict=True):
                self._grow(block, [] if piece is None else [piece])
        self.ops += map(Closed, blocks)

    def _begin(self, block: Block) -> Block:
        self.blocks.append(block)
        self.ops.append(Opened(block))
        return block

    def _grow(self, block: Block, pieces: Iterable[str]) -> None:
        said = list(pieces)
        block.text += "".join(said)
        for piece in said:
            if self._pause is not None:
                self.ops.append(self._pause)
            self.ops.append(Grew(block, piece))


def _pieces_of(move: Text | Burst | Reasoning | Call) -> Iterator[str]:
    if isinstance(move, Burst):
        return (f"{number} " for number in range(1, move.events + 1))
    text = move.arguments if isinstance(move, Call) else move.text
    return (text[at : at + move.chunk] for at in range(0, len(text), move.chunk))
