"""What some hosts leave in the texts of their answers, taken out as it streams (quirks.py)."""

import re

_TOKEN = re.compile(r"<\uff5c[^\uff5c<>\n]{1,64}\uff5c>")
# What may yet become a token: all of one but its last characters.
_BEGUN = re.compile(r"<(?:\uff5c(?:[^\uff5c<>\n]{0,64}|[^\uff5c<>\n]{1,64}\uff5c))?\Z")


class Tidy:
    """One text: without the model's own tokens, without what a delta says again, or both."""

    def __init__(self, *, special_tokens: bool, cumulative: bool) -> None:
        self._special_tokens = special_tokens
        self._cumulative = cumulative
        self._said = ""
        self._held = ""

    def feed(self, text: str) -> str:
        """What this piece adds. What may be the beginning of a token waits for its end, and no longer."""
        if self._cumulative:
            text = text[len(self._said) :] if self._said and text.startswith(self._said) else text
            self._said += text
        if not self._special_tokens or not (self._held or "<" in text):
            return text
        text = _TOKEN.sub("", self._held + text)
        begun = _BEGUN.search(text)
        end = begun.start() if begun else len(text)
        self._held = text[end:]
        return text[:end]

    def rest(self) -> str:
        """What waited: the text has ended, and it was no token."""
        held, self._held = self._held, ""
        return held
