"""Patterns for paths: `*` and `?` within a name, `**` for any number of folders, `{a,b}` for either.

One without `/` is for names, in whatever folder. In time linear in pattern times path: a regular expression made of
one could take for ever.
"""

import re
from collections.abc import Callable, Sequence

MOST_CHOICES = 64
_CHOICE = re.compile(r"\{([^{}]*)\}")


def matches(pattern: str, path: str) -> bool:
    """Is the path, relative to where the pattern is for, like it?"""
    names = path.split("/")
    for each in choices(pattern):
        wanted = each.strip("/").split("/")
        if len(wanted) == 1 and not each.startswith("/"):
            wanted = ["**", *wanted]
        if _fits(wanted, names, "**", _name_fits):
            return True
    return False


def choices(pattern: str) -> list[str]:
    """The patterns without braces that it stands for; not more than MOST_CHOICES."""
    found, waiting = list[str](), [pattern]
    while waiting and len(found) < MOST_CHOICES:
        each = waiting.pop(0)
        choice = _CHOICE.search(each)
        if choice is None:
            found.append(each)
        else:
            parts = choice[1].split(",")[:MOST_CHOICES]
            waiting += [each[: choice.start()] + part + each[choice.end() :] for part in parts]
    return found


def last_name(pattern: str) -> str:
    """The part of a pattern that is for the file's name."""
    name = pattern.rstrip("/").rpartition("/")[2]
    return "*" if name == "**" else name


def _name_fits(pattern: str, name: str) -> bool:
    return _fits(pattern, name, "*", lambda wanted, letter: wanted in {"?", letter})


def _fits(pattern: Sequence[str], text: Sequence[str], star: str, fits: Callable[[str, str], bool]) -> bool:
    """The usual walk along both: what does not fit is given to the last star, one more each time."""
    here = there = mark = 0
    back = -1
    while there < len(text):
        if here < len(pattern) and pattern[here] == star:
            back, mark = here, there
            here += 1
        elif here < len(pattern) and fits(pattern[here], text[there]):
            here += 1
            there += 1
        elif back >= 0:
            mark += 1
            there, here = mark, back + 1
        else:
            return False
    return all(each == star for each in pattern[here:])
