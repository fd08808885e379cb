"""Token counts as providers write them, as ours (contract §2): all prompt tokens, cached ones included."""

from typing import NamedTuple

from tailrace.adapters.reading import Json, count_in, dict_in, dicts_in, unknown_news
from tailrace.schema.response import Usage


class Counts(NamedTuple):
    """Our counts, the provider's own, and whether those say more than ours can."""

    usage: Usage | None
    raw: Json
    says_more: bool


NO_COUNTS = Counts(None, {}, False)

_BEDROCK_KNOWN = frozenset({
    "inputTokens", "outputTokens", "totalTokens", "cacheReadInputTokens", "cacheWriteInputTokens",
    "cacheReadInputTokenCount", "cacheWriteInputTokenCount",
})  # fmt: skip


def openai_counts(raw: Json, prompt: str, completion: str) -> Counts:
    """OpenAI's counts and those of all who copy them.

    `prompt` and `completion` are what the wire calls the two sides: `input_tokens` and `output_tokens`, or
    `prompt_tokens` and `completion_tokens`.
    """
    prompted, completed = count_in(raw, prompt), count_in(raw, completion)
    if prompted is None and completed is None:
        return Counts(None, raw, bool(unknown_news(raw, frozenset())))
    prompt_details, completion_details = dict_in(raw, f"{prompt}_details"), dict_in(raw, f"{completion}_details")
    cached = count_in(prompt_details, "cached_tokens")
    usage = _usage(
        prompted or 0,
        completed or 0,
        total=count_in(raw, "total_tokens"),
        cached=count_in(raw, "prompt_cache_hit_tokens") if cached is None else cached,
        written=count_in(prompt_details, "cache_write_tokens"),
        reasoning=count_in(completion_details, "reasoning_tokens"),
        cost=_cost(raw),
    )
    known = {prompt, completion, f"{prompt}_details", f"{completion}_details", "total_tokens", "cost"}
    says_more = (
        unknown_news(raw, frozenset(known))
        or unknown_news(prompt_details, frozenset({"cached_tokens", "cache_write_tokens"}))
        or unknown_news(completion_details, frozenset({"reasoning_tokens"}))
    )
    return Counts(usage, raw, bool(says_more))


def anthropic_counts(raw: Json) -> Counts:
    """Anthropic's counts: its `input_tokens` leave out what was read from and written to the cache (A7)."""
    fresh, completed = count_in(raw, "input_tokens"), count_in(raw, "output_tokens")
    if fresh is None and completed is None:
        return Counts(None, raw, bool(unknown_news(raw, frozenset())))
    cached, written = count_in(raw, "cache_read_input_tokens"), count_in(raw, "cache_creation_input_tokens")
    usage = _usage(
        (fresh or 0) + (cached or 0) + (written or 0),
        completed or 0,
        cached=cached,
        written=written,
        reasoning=count_in(dict_in(raw, "output_tokens_details"), "thinking_tokens"),
    )
    known = {"input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"}
    return Counts(usage, raw, bool(unknown_news(raw, frozenset({*known, "output_tokens_details"}))))


def google_counts(raw: Json) -> Counts:
    """Google's counts: what its tools read counts as prompt, and thoughts stand beside the candidates' tokens.

    The breakdown by modality says no more where all is text.
    """
    prompted, total = count_in(raw, "promptTokenCount"), count_in(raw, "totalTokenCount")
    if prompted is None and total is None:
        return Counts(None, raw, bool(unknown_news(raw, frozenset())))
    thought = count_in(raw, "thoughtsTokenCount")
    usage = _usage(
        (prompted or 0) + (count_in(raw, "toolUsePromptTokenCount") or 0),
        (count_in(raw, "candidatesTokenCount") or 0) + (thought or 0),
        total=total,
        cached=count_in(raw, "cachedContentTokenCount"),
        reasoning=thought,
    )
    plain = (name for name in _GOOGLE_DETAILS if all(each.get("modality") == "TEXT" for each in dicts_in(raw, name)))
    return Counts(usage, raw, bool(unknown_news(raw, _GOOGLE_COUNTS.union(plain))))


_GOOGLE_COUNTS = frozenset({
    "promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount",
    "cachedContentTokenCount",
})  # fmt: skip
_GOOGLE_DETAILS = (
    "promptTokensDetails", "toolUsePromptTokensDetails", "candidatesTokensDetails", "cacheTokensDetails",
)  # fmt: skip


def bedrock_counts(raw: Json) -> Counts:
    """Bedrock's counts: its `inputTokens`, too, leave out what was read from and written to the cache; its total does
    not. (Each cache count comes twice, under an older name as well.)"""
    fresh, completed = count_in(raw, "inputTokens"), count_in(raw, "outputTokens")
    if fresh is None and completed is None:
        return Counts(None, raw, bool(unknown_news(raw, frozenset())))
    cached, written = count_in(raw, "cacheReadInputTokens"), count_in(raw, "cacheWriteInputTokens")
    usage = _usage(
        (fresh or 0) + (cached or 0) + (written or 0),
        completed or 0,
        total=count_in(raw, "totalTokens"),
        cached=cached,
        written=written,
    )
    return Counts(usage, raw, bool(unknown_news(raw, _BEDROCK_KNOWN)))


def _usage(
    prompt: int,
    completion: int,
    *,
    total: int | None = None,
    cached: int | None = None,
    written: int | None = None,
    reasoning: int | None = None,
    cost: float | None = None,
) -> Usage:
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion if total is None else total,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
        cost_usd=cost,
    )


def _cost(raw: Json) -> float | None:
    cost = dict_in(raw, "cost").get("total_cost", raw.get("cost"))
    return float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) else None
