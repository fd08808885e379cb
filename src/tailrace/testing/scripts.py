"""Which script a request gets: words in the last user message choose it. Pure."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from tailrace.schema import codec
from tailrace.testing.moves import (
    Burst,
    Call,
    Cut,
    Fail,
    Finish,
    HttpError,
    Move,
    Paced,
    Reasoning,
    Stall,
    Text,
)
from tailrace.testing.wires.base import Asked, OfferedTool

Match = re.Match[str]
Maker = Callable[[Asked, Match], Sequence[Move] | None]

LONG_EVENTS = 5000
_MOST_EVENTS = 100_000
_SLOW_MS = 50
_PLEASANT_S = 0.004  # the pace of a demo answer: fast, and yet to be seen streaming
_QUOTED = 200
_READ = 2000  # characters of a prompt in which words are looked for

_WELCOME = """\
# Hello from the demo provider

There is **no model here**: a scripted upstream inside Tailrace answers, and it speaks a real provider's protocol \
over a real socket. You said:

> {quote}

Some words in a prompt change what comes back:

| word | what happens |
|---|---|
| `think` | reasoning comes before the answer |
| `weather` | the first tool you offer is called |
| `parallel` | three tool calls at once |
| `long`, `long 60` | an answer of 5,000 events, of 60 |
| `slow`, `slow 20` | a pause of 50 ms before each piece, of 20 ms |
| `remember …` | then ask `what did I say` |
| `error` | the stream breaks off with an error |
| `empty`, `length` | no text; a text that hits its limit |

```python
async for event in run:      # every piece is an event of the run's log
    print(event.seq, event.type)
```

1. Cut the connection while an answer streams.
2. Come back with `Last-Event-ID`.
3. Nothing is missing, and nothing comes *twice*.
"""
_THOUGHTS = (
    "The question is put to a script, so the answer is already written. "
    "Still, one should look at it from both sides before saying it aloud. Done."
)
_PLACES = ("Paris", "Oslo", "Lima")
_HARMLESS = "In the demo, `{word}` changes nothing: this fault belongs to the tests' scripted upstream."
_SLOW = re.compile(r"\bslow(?:ly)?(?: (\d{1,5}))?\b")
_RETRY_AFTER = re.compile(r"\bretry-after (\d+(?:\.\d+)?)\b")


def by_words(asked: Asked, *, faults: bool) -> list[Move]:
    """The script for `asked`. Without `faults`, words for faults (but `error`) are answered with a friendly text."""
    prompt = asked.user_texts[-1][:_READ].lower() if asked.user_texts else ""
    moves = _base(asked, prompt, faults=faults)
    if re.search(r"\bthink\b", prompt) and not asked.outputs and not isinstance(moves[0] if moves else None, HttpError):
        moves = [Reasoning(_THOUGHTS), *moves]
    slow = _SLOW.search(prompt)
    if slow:
        moves = [Paced(int(slow[1] or _SLOW_MS) / 1000, tuple(moves))]
    if re.search(r"\blength\b", prompt):
        moves = [*moves, Finish("length")]
    return moves


def _base(asked: Asked, prompt: str, *, faults: bool) -> list[Move]:
    if asked.outputs:
        return [Text(_about(asked.outputs))]
    for pattern, make in _FAULTS.items():
        match = pattern.search(prompt)
        if match:
            return list(make(asked, match) or ()) if faults else [Text(_HARMLESS.format(word=match[0]))]
    for pattern, make in _WORDS.items():
        match = pattern.search(prompt)
        moves = make(asked, match) if match else None
        if moves is not None:
            return list(moves)
    quote = asked.user_texts[-1].strip()[:_QUOTED].replace("\n", "\n> ") if asked.user_texts else "(nothing)"
    answer = Text(_WELCOME.format(quote=quote))
    return [answer] if faults else [Paced(_PLEASANT_S, (answer,))]


def _about(outputs: Sequence[str]) -> str:
    if len(outputs) == 1:
        return f"The tool answered:\n\n> {outputs[0]}\n\nThat is all there is to say about it.\n"
    listed = "".join(f"{number}. {output}\n" for number, output in enumerate(outputs, 1))
    return f"The tools answered:\n\n{listed}\nThat is all there is to say about them.\n"


def _http(asked: Asked, match: Match) -> list[Move]:
    retry_after = _RETRY_AFTER.search(match.string)
    return [HttpError(int(match[1]), float(retry_after[1]) if retry_after else None)]


def _cut(asked: Asked, match: Match) -> list[Move]:
    return [Text("This answer is about to be cut"), Cut()]


def _stall(asked: Asked, match: Match) -> list[Move]:
    return [Text("This answer will never be whole"), Stall()]


def _error(asked: Asked, match: Match) -> list[Move]:
    return [Text("This answer is about to fail"), Fail()]


def _recall(asked: Asked, match: Match) -> list[Move]:
    earlier = "".join(f"- {text}\n" for text in asked.user_texts[:-1]) or "- nothing yet\n"
    return [Text(f"Before this, you said:\n\n{earlier}")]


def _remember(asked: Asked, match: Match) -> list[Move]:
    what = asked.user_texts[-1][match.start(1) : match.end(1)].strip()
    return [Text(f"I will remember: {what}\n")]


def _parallel(asked: Asked, match: Match) -> list[Move] | None:
    tools = asked.tools
    return [_call(tools[at % len(tools)], place) for at, place in enumerate(_PLACES)] if tools else None


def _weather(asked: Asked, match: Match) -> list[Move] | None:
    return [Text("Let me look that up."), _call(asked.tools[0], _PLACES[0])] if asked.tools else None


def _long(asked: Asked, match: Match) -> list[Move]:
    return [Burst(min(int(match[1] or LONG_EVENTS), _MOST_EVENTS))]


def _empty(asked: Asked, match: Match) -> list[Move]:
    return []


# The first pattern that is found, and whose maker has something to say, decides.
_FAULTS: dict[re.Pattern[str], Maker] = {
    re.compile(r"\bhttp ([45]\d\d)\b"): _http,
    re.compile(r"\bcut\b"): _cut,
    re.compile(r"\bstall\b"): _stall,
}
_WORDS: dict[re.Pattern[str], Maker] = {
    re.compile(r"\bwhat did i (?:say|tell you)\b"): _recall,
    re.compile(r"\bremember (.+)", re.DOTALL): _remember,
    re.compile(r"\berror\b"): _error,
    re.compile(r"\bparallel\b"): _parallel,
    re.compile(r"\bweather\b"): _weather,
    re.compile(r"\blong(?: (\d{1,6}))?\b"): _long,
    re.compile(r"\bempty\b"): _empty,
}


def _call(tool: OfferedTool, text: str) -> Call:
    return Call(tool.name, codec.encode(example(tool.parameters, text)).decode())


_EXAMPLES: dict[str, Any] = {"integer": 1, "number": 1.5, "boolean": True, "array": [], "null": None}


def example(schema: dict[str, Any], text: str) -> Any:
    """A value that fits a plain JSON Schema: `text` where it wants a string, the required properties of an object."""
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        properties = schema.get("properties") or {}
        wanted = schema.get("required") or list(properties)[:1]
        return {name: example(properties.get(name) or {}, text) for name in wanted}
    return _EXAMPLES.get(kind, text)
