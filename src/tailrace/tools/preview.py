"""How much of a long output the model sees: its head and its tail, and in between what is missing and where it is."""

_MARK = "[… {bytes} bytes ({lines} lines) left out here{where} …]\n"


def preview(text: str, limit: int, kept: str | None = None) -> str:
    """`text`, where it has at most `limit` bytes of UTF-8; else about as many of its first and last bytes, cut between
    lines where there are any nearby. `kept`: where the whole of it is."""
    data = text.encode()
    if len(data) <= limit:
        return text
    half = limit // 2
    start = _cut_after(data, half)
    end = max(start, _cut_before(data, len(data) - half))
    where = f"; all of it is kept as {kept}" if kept else ""
    mark = _MARK.format(bytes=end - start, lines=data.count(b"\n", start, end), where=where)
    head = data[:start].decode()
    if head and not head.endswith("\n"):
        head += "\n"
    return head + mark + data[end:].decode()


def _cut_after(data: bytes, place: int) -> int:
    """A place to cut at, not after `place`: behind a line's end, or between two characters."""
    line = data.rfind(b"\n", place // 2, place)
    return line + 1 if line >= 0 else _character(data, place, -1)


def _cut_before(data: bytes, place: int) -> int:
    """A place to cut at, not before `place`."""
    line = data.find(b"\n", place, place + (len(data) - place) // 2)
    return line + 1 if line >= 0 else _character(data, place, 1)


def _character(data: bytes, place: int, step: int) -> int:
    """The next place at which a character starts, or the end."""
    while place < len(data) and data[place] & 0xC0 == 0x80:
        place += step
    return place
