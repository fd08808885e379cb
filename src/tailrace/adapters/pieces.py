"""A text that grows piece by piece, in the memory of the text: in a list a small piece costs ten times itself."""

_MOST_LOOSE = 1024


class Pieces:
    """Pieces in order; `str` is the whole. Adding is linear in what is added, however long the text is already."""

    __slots__ = ("_joined", "_loose")

    def __init__(self) -> None:
        self._joined: list[str] = []
        self._loose: list[str] = []

    def add(self, piece: str) -> None:
        """One more."""
        loose = self._loose
        loose.append(piece)
        if len(loose) == _MOST_LOOSE:
            self._joined.append("".join(loose))
            loose.clear()

    def __str__(self) -> str:
        return "".join([*self._joined, *self._loose])
