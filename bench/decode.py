"""Decoding alone: a provider's bytes to events, on one core, without I/O. Every wire that has its scripted twin."""

import gc
import time
import tracemalloc
from collections.abc import Sequence

from bench.load import Bench
from bench.report import Figure
from tailrace.adapters.base import DecodeContext
from tailrace.adapters.wires import WIRES
from tailrace.schema import codec
from tailrace.schema.items import MessageItem
from tailrace.schema.request import Generation, ModelRequest, Tool
from tailrace.testing.moves import Call, Move, Reasoning, Text
from tailrace.testing.upstream import WIRES as SCRIPTED_WIRES
from tailrace.testing.wires.base import Memory, Ticket, named_in, steps
from tailrace.testing.wires.plan import make_plan

SCRIPTED = {wire.name: wire for wire in SCRIPTED_WIRES}
EVENTS = 20_000
PIECE = 6  # characters of a typical delta
READ = 16 * 1024  # bytes that one network read brings, when a provider is fast
MEGABYTE = 1024 * 1024
MOST_GROWTH = 3.0  # greater buffers cost the machine more; what is quadratic would come to TIMES
TIMES = 10  # so many times the arguments may take so many times the time, and no more
GOAL = 150_000
ROUNDS = 3  # in each round of the bench: the best counts, because what disturbs only ever slows


async def decode(bench: Bench) -> list[Figure]:
    """Events per second for typical deltas; and that long arguments take time and memory in proportion."""
    rounds = ROUNDS * bench.repeats
    figures = [figure for wire in WIRES if wire in SCRIPTED for figure in measured(wire, EVENTS, rounds)]
    for figure in figures:
        bench.say(f"decode {figure.what}: {figure.value:,.2f} {figure.unit}")
    return figures


def measured(wire: str, events: int, rounds: int, size: int = MEGABYTE) -> list[Figure]:
    """The figures of one wire; `size`: bytes of the long arguments, and of their pieces."""
    figures = []
    for kind, moves in typical(events).items():
        data = answer(wire, moves)
        made = [rate(wire, data) for _ in range(rounds)]
        if min(count for count, _ in made) < events:
            continue  # the wire sends such a thing whole: there are no deltas to time
        best = max(count / seconds for count, seconds in made)
        figures.append(Figure("decode", f"{wire}, {kind}", "1/s", best, goal=GOAL, at_least=True))
    answers = [answer(wire, [arguments(times * size, size)]) for times in (1, TIMES)]
    one, many = (min(rate(wire, data)[1] for _ in range(rounds)) for data in answers)
    held = peak(wire, answer(wire, [arguments(size, PIECE)]))
    return [
        *figures,
        Figure("decode", f"{wire}, time per MB, 10 MB to 1 MB", "x", many / (one * TIMES), goal=MOST_GROWTH),
        Figure("decode", f"{wire}, memory to 1 MB of arguments", "x", held / size, goal=8),
    ]


def typical(events: int) -> dict[str, list[Move]]:
    """Answers of so many small deltas."""
    text = "".join(f"It is word {number} of a text, \u00e9 say. " for number in range(events))[: events * PIECE]
    return {
        "text": [Text(text, PIECE)],
        "reasoning": [Reasoning(text, PIECE)],
        "arguments": [arguments(events * PIECE, PIECE)],
    }


def arguments(size: int, piece: int) -> Call:
    """A call with arguments of so many characters, in such pieces."""
    text = "".join(f"sky {number} so blue " for number in range(size // 12 + 1))[:size]
    return Call("look", codec.encode({"at": text}).decode(), "call_1", piece)


def answer(wire: str, moves: Sequence[Move]) -> bytes:
    """What the wire's provider would stream."""
    said = MessageItem(id="u", content="go", origin="user")
    generation = Generation(tools=[Tool(name="look")])
    request = ModelRequest(provider_id="p", model_id="m", items=[said], generation=generation)
    body = codec.decode_any(codec.encode(WIRES[wire].build(request, {})))
    body |= named_in(SCRIPTED[wire].path, WIRES[wire].path("m", True))
    plan = make_plan(moves, 10)
    renderer = SCRIPTED[wire].renderer(plan, Ticket("bench", 1), body, Memory())
    return b"".join(frame for frame in steps(plan, renderer) if isinstance(frame, bytes))


def rate(wire: str, data: bytes) -> tuple[int, float]:
    """How many events the bytes gave, and the seconds of CPU that it took."""
    decoder = WIRES[wire].decoder(DecodeContext("p", "m"))
    reads = [data[at : at + READ] for at in range(0, len(data), READ)]
    gc.collect()
    began, count = time.process_time(), 0
    for read in reads:
        count += len(decoder.feed(read))
    count += len(decoder.close())
    return count, time.process_time() - began


def peak(wire: str, data: bytes) -> int:
    """The most bytes that decoding held at once, beside the bytes that it was given."""
    decoder = WIRES[wire].decoder(DecodeContext("p", "m"))
    reads = [data[at : at + READ] for at in range(0, len(data), READ)]
    tracemalloc.start()
    try:
        for read in reads:
            decoder.feed(read)
        decoder.close()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
