"""`reasoning_details`: reasoning as OpenRouter and its kin write it, piece by piece, to be sent back as one list
(https://openrouter.ai/docs/use-cases/reasoning-tokens)."""

from tailrace.adapters.pieces import Pieces
from tailrace.adapters.reading import Json, text_in

_GROWING = ("text", "summary", "data")


class ReasoningDetails:
    """Puts the pieces of each detail together."""

    def __init__(self) -> None:
        self._details: list[tuple[Json, dict[str, Pieces]]] = []

    def take(self, details: list[Json]) -> None:
        """The details of one chunk: each goes on with the last one if that has its type and index, or begins anew."""
        for detail in details:
            if not self._details or not _goes_on(self._details[-1][0], detail):
                self._details.append(({}, {}))
            facts, pieces = self._details[-1]
            for key, value in detail.items():
                if key in _GROWING and isinstance(value, str):
                    if key not in pieces:
                        pieces[key] = Pieces()
                    pieces[key].add(value)
                elif value is not None or key not in facts:
                    facts[key] = value

    def continuation(self) -> list[Json] | None:
        """The list to send back; None where it holds nothing that the provider could verify: then the text serves."""
        if not any(text_in(facts, "signature") or "data" in pieces for facts, pieces in self._details):
            return None
        return [{**facts, **{key: str(texts) for key, texts in pieces.items()}} for facts, pieces in self._details]


def _goes_on(last: Json, detail: Json) -> bool:
    return bool(last.get("type") == detail.get("type") and last.get("index") == detail.get("index"))
