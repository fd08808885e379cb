"""A search in Python, for where ripgrep is not: `python -m tailrace.tools.search_worker WANTED`, in the folder.

It says what ripgrep would: names ended by zero bytes, or JSON lines of `--json`.
"""

import os
import re
import sys
from base64 import b64encode
from typing import BinaryIO, Literal

from msgspec import Struct

from tailrace.schema import codec
from tailrace.tools.errors import ToolFailed
from tailrace.tools.glob import matches
from tailrace.tools.walk import Entry, files
from tailrace.tools.workspace import open_regular

LARGEST_FILE = 16 * 1024 * 1024
_SNIFFED = 8192


class Wanted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A search: `files`, or `lines` that match the regular expression `pattern`, at most `per_file` of a file.

    `include`: which files to search (tools/glob.py).
    """

    task: Literal["files", "lines"]
    pattern: str = ""
    include: str | None = None
    ignore_case: bool = False
    per_file: int = 1


def main(wanted: Wanted, out: BinaryIO) -> int:
    """The exit code: 0 found, 1 nothing found, 2 the pattern is none."""
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if wanted.task == "files":
        out.writelines(os.fsencode(entry.path) + b"\0" for entry in files(folder))
        return 0
    try:
        pattern = re.compile(wanted.pattern.encode(), re.IGNORECASE if wanted.ignore_case else 0)
    except re.error as error:
        out.write(f"the pattern is not valid: {error}\n".encode())
        return 2
    found = False
    for entry in files(folder):
        if not wanted.include or matches(wanted.include, entry.path):
            found |= _of_file(entry, pattern, wanted.per_file, out)
    return 0 if found else 1


def _of_file(entry: Entry, pattern: re.Pattern[bytes], most: int, out: BinaryIO) -> bool:
    try:
        with open(open_regular(entry.name, entry.folder, entry.path), "rb") as file:  # noqa: PTH123  # a descriptor
            data = file.read(LARGEST_FILE + 1)
    except (OSError, ToolFailed):  # gone meanwhile, or not ours to read
        return False
    if len(data) > LARGEST_FILE or b"\0" in data[:_SNIFFED]:
        return False
    count = 0
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), 1):
        if count < most and pattern.search(line):
            count += 1
            found = {"path": _said(os.fsencode(entry.path)), "lines": _said(line), "line_number": number}
            out.write(codec.encode({"type": "match", "data": found}) + b"\n")
    return count > 0


def _said(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"bytes": b64encode(data).decode()}


if __name__ == "__main__":
    sys.exit(main(codec.decode(sys.argv[1], Wanted), sys.stdout.buffer))
