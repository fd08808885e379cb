"""Markup that models are taught and hosts should have read for us: how each kind begins, ends, and says a call.

`MARKUP` is the table that a provider's quirk `heal` names rows of. Forms: Kimi K2 and DeepSeek V3.2 as their makers'
chat templates have them, Qwen3-Coder's XML and the JSON of its older kin (Hermes), and the thinking tags of many.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tailrace.adapters.reading import dict_in, is_json, text_in
from tailrace.schema import codec
from tailrace.schema.errors import InvalidJson


@dataclass(frozen=True, slots=True)
class FoundCall:
    """A tool call that stood in the text; `arguments` is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Markup:
    """One kind. `blocks`: what begins a block, and what ends it. `noise`: markers that say nothing by themselves.

    `calls` reads a block, markers included (the last one may be missing, at the end of the text), and gives none where
    it is no call, or not a whole one. Without `calls` a block is thought.
    """

    blocks: dict[str, str]
    noise: tuple[str, ...] = ()
    calls: Callable[[str], list[FoundCall]] | None = None


_KIMI = re.compile(
    r"<\|tool_call_begin\|>\s*(?:functions\.)?([^\s:<]+)(?::\d+)?\s*<\|tool_call_argument_begin\|>(.*?)(?:<\|tool_call_end\|>)?",
    re.DOTALL,
)


def _kimi(block: str) -> list[FoundCall]:
    """`functions.<name>:<number><|tool_call_argument_begin|>{…}`."""
    found = _KIMI.fullmatch(block)
    return [FoundCall(found[1], found[2].strip())] if found and is_json(found[2]) else []


_FUNCTION = re.compile(r"<function=([^>\s]+)\s*>(.*?)</function>", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\s]+)\s*>(.*?)(?:</parameter>|(?=<parameter=)|\Z)", re.DOTALL)


def _qwen(block: str) -> list[FoundCall]:
    """`<function=<name>><parameter=<key>>…</parameter></function>`, or `{"name": …, "arguments": {…}}`."""
    found = [FoundCall(name, _arguments(inner)) for name, inner in _FUNCTION.findall(block)]
    return found or _hermes(block)


def _arguments(inner: str) -> str:
    values = {key: _value(_line(text)) for key, text in _PARAMETER.findall(inner)}
    return codec.encode(values).decode()


def _hermes(block: str) -> list[FoundCall]:
    try:
        call = codec.decode_any(block.removeprefix("<tool_call>").removesuffix("</tool_call>").strip())
    except (InvalidJson, RecursionError):
        return []
    if not isinstance(call, dict) or not text_in(call, "name"):
        return []
    return [FoundCall(call["name"], codec.encode(dict_in(call, "arguments")).decode())]


def _line(text: str) -> str:
    """A value without the line breaks that only set it apart."""
    return text.removeprefix("\n").removesuffix("\n")


def _value(text: str) -> Any:
    """What is JSON and no text is meant as such: the form does not say."""
    try:
        value = codec.decode_any(text)
    except (InvalidJson, RecursionError):
        return text
    return text if isinstance(value, str) else value


_BARS = ("\uff5c", "\uff5c\uff5c", "\u2016", "|", "||")  # of DeepSeek's tags; what hosts make of the first
_INVOKE = re.compile(r"""<\W+DSML\W+invoke\s+name="([^"]+)"\s*>(.*)</\W+DSML\W+invoke>""", re.DOTALL)
_DSML_PARAMETER = re.compile(
    r"""<\W+DSML\W+parameter\s+name="([^"]+)"(?:\s+string="(true|false)")?\s*>(.*?)</\W+DSML\W+parameter>""",
    re.DOTALL,
)


def _dsml(block: str) -> list[FoundCall]:
    """`<|DSML|invoke name="<name>">`, then `<|DSML|parameter name="<key>" string="true|false">…</|DSML|parameter>`."""
    invoke = _INVOKE.fullmatch(block)
    if invoke is None:
        return []
    found = _DSML_PARAMETER.findall(invoke[2])
    values = {key: text if is_text == "true" else _value(_line(text)) for key, is_text, text in found}
    return [FoundCall(invoke[1], codec.encode(values).decode())]


MARKUP: dict[str, Markup] = {
    "thinking": Markup({f"<{tag}>": f"</{tag}>" for tag in ("think", "thinking", "thought")}),
    "kimi": Markup(
        {"<|tool_call_begin|>": "<|tool_call_end|>"},
        noise=("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),
        calls=_kimi,
    ),
    "qwen": Markup({"<tool_call>": "</tool_call>", "<function=": "</function>"}, calls=_qwen),
    "dsml": Markup(
        {f"<{bar}DSML{bar}invoke": f"</{bar}DSML{bar}invoke>" for bar in _BARS},
        noise=tuple(
            f"<{slash}{bar}DSML{bar}{name}>"
            for bar in _BARS
            for name in ("function_calls", "tool_calls")
            for slash in ("", "/")
        ),
        calls=_dsml,
    ),
}
