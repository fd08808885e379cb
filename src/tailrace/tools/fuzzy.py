"""How well a few letters fit a path: they stand in it in their order, better close together, at the start of words, and
in the file's name. In time that is linear in the path."""

_WORD_ENDS = "/_-. "


def score(pattern: str, path: str) -> float | None:
    """The higher the better; None where it does not fit. Upper and lower case are the same; a blank separates letters
    that may stand in any order."""
    total = 0.0
    for term in pattern.lower().split():
        best = _term(term, path)
        if best is None:
            return None
        total += best
    return total - len(path) / 1000


def _term(term: str, path: str) -> float | None:
    name = path.rpartition("/")[2]
    in_name = _score(term, name)
    return _score(term, path) if in_name is None else in_name + len(term)


def _score(term: str, text: str) -> float | None:
    found = _places(term, text.lower())
    if found is None:
        return None
    points = 0.0
    for place, before in zip(found, [-2, *found], strict=False):
        points += 1 + (place == before + 1) + _starts_word(text, place)
    return points - (found[-1] - found[0] + 1 - len(term)) / len(text)


def _places(term: str, text: str) -> list[int] | None:
    """Where the letters stand: from the first place at which all have come, backwards, so that they are close."""
    place = -1
    for letter in term:
        place = text.find(letter, place + 1)
        if place < 0:
            return None
    found = []
    end = place + 1
    for letter in reversed(term):
        end = text.rfind(letter, 0, end)
        found.append(end)
    return found[::-1]


def _starts_word(text: str, place: int) -> bool:
    if place == 0:
        return True
    before, here = text[place - 1], text[place]
    return before in _WORD_ENDS or (here.isupper() and before.islower())
