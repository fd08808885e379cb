"""Markup that leaked into the text becomes what it stands for, however the text is cut."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.adapters.heal import Healer, Piece, Said, Thought
from tailrace.adapters.markup import MARKUP, FoundCall
from tailrace.adapters.wires import QUIRKS, WIRES
from tailrace.schema import codec
from tailrace.schema.errors import SettingsError
from tailrace.schema.events import ItemDelta, Payload
from tailrace.schema.items import MessageItem, ReasoningItem
from tailrace.upstream.registry import provider_from_table
from tests.support.decoding import CONTEXT, Heard, hear, sse

ALL = tuple(MARKUP)
KIMI = (
    "Let me look.<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>"
    '{"city": "Paris"}<|tool_call_end|>\n<|tool_call_begin|>functions.now:1<|tool_call_argument_begin|>{}'
    "<|tool_call_end|><|tool_calls_section_end|>"
)
BARE = KIMI.partition("section_begin|>")[2].partition("<|tool_call_end|>")[0]
QWEN = (
    "Sure.\n<tool_call>\n<function=weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n</parameter>\n"
    "</function>\n</tool_call>"
)
HERMES = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
BAR = "\uff5c"
DSML = (
    "<{0}DSML{0}function_calls>\n"
    '<{0}DSML{0}invoke name="weather">\n'
    '<{0}DSML{0}parameter name="city" string="true">Paris</{0}DSML{0}parameter>\n'
    '<{0}DSML{0}parameter name="days" string="false">3</{0}DSML{0}parameter>\n'
    "</{0}DSML{0}invoke>\n"
    "</{0}DSML{0}function_calls>"
)
PARIS = FoundCall("weather", '{"city":"Paris","days":3}')
CASES: list[tuple[str, list[Piece]]] = [
    ("<think>Hm.\nYes.</think>\n\nIt is.", [Thought("Hm.\nYes."), Said("It is.")]),
    ("<thinking>a</thinking>b<think>c", [Thought("a"), Said("b"), Thought("c")]),
    (KIMI, [Said("Let me look."), FoundCall("weather", '{"city": "Paris"}'), FoundCall("now", "{}")]),
    (
        KIMI.split("section_begin|>")[1].split("<|tool_call_end|>", maxsplit=1)[0],
        [FoundCall("weather", '{"city": "Paris"}')],
    ),
    (QWEN, [Said("Sure.\n"), PARIS]),
    (QWEN.replace("<tool_call>", "").replace("</tool_call>", ""), [Said("Sure.\n\n"), PARIS]),
    (HERMES, [FoundCall("weather", '{"city":"Paris"}')]),
    *((f"So: {DSML.format(bar)} done", [Said("So: "), PARIS, Said("done")]) for bar in (BAR, 2 * BAR, "\u2016", "|")),
    ("a < b and <tag> <|x|> <think", [Said("a < b and <tag> <|x|> <think")]),
    ("<tool_call>not a call</tool_call> so", [Said("<tool_call>not a call</tool_call> so")]),
    (QWEN[:-40], [Said(QWEN[:-40])]),
    (DSML.format(BAR)[:-60], [Said(DSML.format(BAR)[len(f"<{BAR}DSML{BAR}function_calls>\n") : -60])]),
]


def healed(pieces: Sequence[str], kinds: Sequence[str] = ALL) -> list[Piece]:
    """What comes of the text in these pieces, texts and thoughts in a row joined."""
    healer, found = Healer(kinds), []
    for piece in [piece for text in pieces for piece in healer.feed(text)] + list(healer.close()):
        last = found[-1] if found else None
        if not isinstance(piece, FoundCall) and type(last) is type(piece):
            found[-1] = replace(piece, text=last.text + piece.text)
        else:
            found.append(piece)
    return found


def cut(text: str, places: Sequence[int]) -> list[str]:
    at = sorted({place % (len(text) + 1) for place in places})
    return [text[start:end] for start, end in zip([0, *at], [*at, len(text)], strict=True)]


@pytest.mark.parametrize(("text", "pieces"), CASES)
def test_what_stands_in_the_text_is_found(text: str, pieces: list[Piece]):
    """Each kind's forms; what is no call, or half of one, stays text."""
    assert healed([text]) == pieces
    assert healed(list(text)) == pieces


fragments = st.sampled_from(
    [KIMI, QWEN, HERMES, DSML.format(BAR), "<think>", "</think>", "<", "<|", f"<{BAR}DSML", "\n", "text ", "<function="]
)


@given(st.lists(fragments | st.text(max_size=5), max_size=6).map("".join), st.lists(st.integers(0, 4000), max_size=20))
def test_however_a_text_is_cut_the_same_comes_out(text: str, places: list[int]):
    """The law of streaming scanners."""
    assert healed(cut(text, places)) == healed([text])


@given(st.text(), st.lists(st.integers(0, 200), max_size=9))
def test_text_without_markup_passes_as_it_came(text: str, places: list[int]):
    """Unchanged, and held back only from a `<` on."""
    healer = Healer(ALL)
    for piece in cut(text, places):
        said = "".join(found.text for found in healer.feed(piece) if isinstance(found, Said))
        if "<" not in text:
            assert said == piece
    if "<" not in text:
        assert list(healer.close()) == []
    assert "".join(piece.text for piece in healed([text]) if isinstance(piece, Said)) == text or "<" in text


def test_no_more_is_held_back_than_may_become_a_marker():
    """A `<` that turns out to be none goes on at once."""
    healer = Healer(["thinking"])
    said = [list(healer.feed(text)) for text in ("a <", "th", "e", " <b")]
    assert said == [[Said("a ")], [], [Said("<the")], [Said(" <b")]]


# --- in a decoder -------------------------------------------------------------------------------------------------


def heal(wire: str, data: bytes, *kinds: str, **more: Any) -> Heard:
    return hear(wire, data, context=replace(CONTEXT, quirks={"heal": list(kinds)}), **more)


def chat(*texts: str, finish: str = "stop") -> bytes:
    chunks = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
    return sse(*chunks, {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}, done=True)


def responses(*texts: str) -> bytes:
    where = {"item_id": "m1", "output_index": 0, "content_index": 0}
    message = {"type": "message", "id": "m1", "role": "assistant"}
    part = {"type": "output_text", "text": "".join(texts), "annotations": []}
    return sse(
        {"type": "response.output_item.added", "output_index": 0, "item": {**message, "content": []}},
        *({"type": "response.output_text.delta", **where, "delta": text} for text in texts),
        {"type": "response.output_text.done", **where, "text": "".join(texts)},
        {"type": "response.output_item.done", "output_index": 0, "item": {**message, "content": [part]}},
        {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": []}},
    )


def messages(*texts: str) -> bytes:
    return sse(
        {"type": "message_start", "message": {"id": "m", "model": "m"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": t}} for t in texts),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    )


SAY = {"openai-chat-completions": chat, "openai-responses": responses, "anthropic-messages": messages}
every_wire = pytest.mark.parametrize("wire", SAY)


def joined(payloads: Sequence[Payload]) -> list[Any]:
    """The payloads, with the deltas of an item in a row as one."""
    found: list[Any] = []
    for payload in payloads:
        last = found[-1] if found else None
        if isinstance(payload, ItemDelta) and isinstance(last, ItemDelta) and last.item_id == payload.item_id:
            found[-1] = ItemDelta(item_id=last.item_id, delta_content=last.delta_content + payload.delta_content)
        else:
            found.append(payload)
    return found


@every_wire
def test_calls_found_in_the_text_are_calls_of_the_answer(wire: str):
    """With ids of their own; and the answer ends as one that calls tools."""
    heard = heal(wire, SAY[wire]("Let me ", f"look.{KIMI[12:]}"), "kimi")
    assert heard.types == ["message", "function_call", "function_call"]
    assert [call[:2] for call in heard.calls] == [("weather", '{"city": "Paris"}'), ("now", "{}")]
    assert len({call[2] for call in heard.calls}) == 2
    assert heard.items[0].content == "Let me look."
    assert heard.step_done.finish_reason == "tool_calls"


@every_wire
def test_thoughts_come_before_what_is_said(wire: str):
    """Also where the provider has announced a message first; one in which nothing was said is none."""
    heard = heal(wire, SAY[wire]("<thi", "nk>Hm.</think>\n\n", "Yes."), "thinking")
    assert heard.types == ["reasoning", "message"]
    thought, said = heard.items
    assert isinstance(thought, ReasoningItem)
    assert isinstance(said, MessageItem)
    assert (thought.content, said.content) == ("Hm.", "Yes.")
    only = heal(wire, SAY[wire](HERMES), "qwen")
    assert only.types == ["function_call"]


@every_wire
@given(st.sampled_from([KIMI, QWEN, DSML.format(BAR), f"<think>a</think>b {HERMES} c"]), st.lists(st.integers(0, 999)))
def test_however_the_text_is_cut_the_payloads_are_the_same(wire: str, text: str, places: list[int]):
    """But for where its deltas end."""
    whole = joined(heal(wire, SAY[wire](text), *ALL).payloads)
    assert joined(heal(wire, SAY[wire](*filter(None, cut(text, places))), *ALL).payloads) == whole


@every_wire
def test_without_the_quirk_markup_is_text(wire: str):
    """Nobody asked."""
    heard = hear(wire, SAY[wire](KIMI))
    assert heard.types == ["message"]
    assert heard.items[0].content == KIMI
    assert heard.step_done.finish_reason == "stop"


@every_wire
def test_plain_text_is_the_same_with_the_quirk(wire: str):
    """Delta by delta."""
    said = SAY[wire]("It is ", "caf\u00e9 time,", " a > b.")
    assert heal(wire, said, *ALL).payloads == hear(wire, said).payloads


def test_a_call_that_the_limit_cut_is_no_call():
    """It is shown as the text that it was."""
    heard = heal("openai-chat-completions", chat(KIMI[:-70], finish="length"), "kimi")
    assert heard.calls == [("weather", '{"city": "Paris"}', heard.calls[0][2])]
    assert heard.step_done.finish_reason == "length"


def test_a_kind_that_nobody_knows_stops_the_start():
    """With its place; and every wire has the quirk."""
    table = {"wire": "openai-chat-completions", "base_url": "http://127.0.0.1:1/v1", "quirks": {"heal": ["kimmi"]}}
    with pytest.raises(SettingsError, match=r"\[providers.x\].quirks.heal: 'kimmi' is none of thinking"):
        provider_from_table("x", table)
    assert all(quirks["heal"] == [] for quirks in QUIRKS.values())
    assert QUIRKS.keys() == WIRES.keys()


# --- prompts that were cut short ----------------------------------------------------------------------------------


def test_a_prompt_that_was_cut_short_in_silence_is_found_out():
    """By the counts, where the provider's table says how much the model takes in."""
    usage = {"prompt_tokens": 9000, "completion_tokens": 3}
    said = chat("Yes.").replace(b"data: [DONE]", b"data: %b\n\ndata: [DONE]" % codec.encode({"usage": usage}))
    for window, code in ((8192, "context_overflow"), (16384, None), (0, None)):
        heard = hear("openai-chat-completions", said, context=replace(CONTEXT, quirks={"context_window": window}))
        assert (heard.response.error.code if heard.response.error else None) == code
