"""`read_file`, `list_dir`, `write_file`, `str_replace_editor`, `view_image`, `update_plan` on real files."""

import os
import struct
import zlib
from base64 import b64decode
from pathlib import Path

import pytest

from tailrace.schema.items import ImagePart
from tailrace.tools.builtin.list_dir import list_dir
from tailrace.tools.builtin.read_file import read_file
from tailrace.tools.builtin.str_replace_editor import str_replace_editor
from tailrace.tools.builtin.update_plan import update_plan
from tailrace.tools.builtin.view_image import MOST_BYTES, view_image
from tailrace.tools.builtin.write_file import write_file
from tests.support.tools import Bench, tree

CODE = '''\
"""A module."""

import os


class Shop:
    """Sells."""

    def open(self):
        return True

    # How much
    # it costs.
    @property
    def price(self):
        if self.open():
            total = 0
            for each in self.items:
                total += each

            return total
        return None

    def close(self):
        return False


def other():
    pass
'''


async def read(root: Path, **arguments) -> str:
    answer = await Bench(root, read_file).call("read_file", arguments)
    assert answer.success, answer.text
    return answer.text


async def test_a_slice_has_numbered_lines_and_says_what_is_left(tmp_path):
    """Numbers from 1; how many lines follow."""
    (tmp_path / "f").write_text("".join(f"line {number}\n" for number in range(1, 11)))
    assert await read(tmp_path, path="f", offset=4, limit=2) == "L4: line 4\nL5: line 5\n(There are 5 more lines.)"
    assert await read(tmp_path, path="f", offset=9) == "L9: line 9\nL10: line 10"
    answer = await Bench(tmp_path, read_file).call("read_file", {"path": "f", "offset": 11})
    assert (answer.success, answer.text) == (False, "f: has only 10 lines")


async def test_files_of_every_kind_are_read(tmp_path):
    """Empty, with CRLF, with a byte order mark, without an end of line, not UTF-8, with very long lines."""
    (tmp_path / "empty").touch()
    (tmp_path / "dos").write_bytes(b"\xef\xbb\xbfa\r\nb\r\n\r\nc")
    (tmp_path / "latin").write_bytes(b"caf\xe9\n")
    (tmp_path / "long").write_text("x" * 501 + "\n")
    (tmp_path / "binary").write_bytes(b"\x7fELF\0\0")
    assert await read(tmp_path, path="empty") == "(The file is empty.)"
    assert await read(tmp_path, path="dos") == "L1: a\nL2: b\nL3: \nL4: c"
    assert await read(tmp_path, path="latin") == "L1: caf�"
    assert await read(tmp_path, path="long") == f"L1: {'x' * 500}… (501 characters)"
    answer = await Bench(tmp_path, read_file).call("read_file", {"path": "binary"})
    assert (answer.success, answer.text) == (False, "binary: is no text file (6 bytes)")


def lines_of(text: str) -> list[int]:
    return [int(line[1:].partition(":")[0]) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "first", "last"),
    [
        ({"anchor_line": 18, "max_levels": 1}, 16, 21),
        ({"anchor_line": 17, "max_levels": 2}, 12, 22),
        ({"anchor_line": 17, "max_levels": 2, "include_header": False}, 15, 22),
        ({"anchor_line": 17, "max_levels": 2, "include_siblings": True}, 7, 25),
        ({"anchor_line": 17}, 6, 25),
        ({"anchor_line": 9}, 6, 25),
        ({"anchor_line": 28}, 28, 29),
        ({"anchor_line": 17, "limit": 5}, 15, 19),
        ({"offset": 17, "max_levels": 2}, 12, 22),
    ],
)
async def test_the_block_around_a_line(tmp_path, arguments, first, last):
    """So many levels out, with its header and without what is beside it, unless asked for."""
    (tmp_path / "shop.py").write_text(CODE)
    found = lines_of(await read(tmp_path, path="shop.py", mode="indentation", **arguments))
    assert (found[0], found[-1]) == (first, last)
    assert found == list(range(first, last + 1))


async def test_the_block_of_a_language_with_braces_has_its_closing_brace(tmp_path):
    """What only closes the block belongs to it."""
    (tmp_path / "a.c").write_text("int f(void)\n{\n\tif (x) {\n\t\treturn 1;\n\t}\n\treturn 0;\n}\n\nint g;\n")
    found = lines_of(await read(tmp_path, path="a.c", mode="indentation", anchor_line=4, max_levels=1))
    assert found == [3, 4, 5]


async def test_a_folder_is_listed_level_by_level(tmp_path):
    """Each name with its mark; links are not followed; a part of it is said to be one."""
    (tmp_path / "b" / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "a.txt").touch()
    (tmp_path / "b" / "c.txt").touch()
    (tmp_path / "link").symlink_to("b")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / os.fsdecode(b"caf\xe9")).touch()
    (tmp_path / "d\ne").touch()
    bench = Bench(tmp_path, list_dir)
    listed = (await bench.call("list_dir")).text
    assert listed == "a.txt\nb/\ncaf\\udce9\nd\\ne\nlink@\npipe?\n  b/c.txt\n  b/deep/"
    assert (await bench.call("list_dir", {"depth": 1, "limit": 2})).text == (
        "a.txt\nb/\n(There are more; go on with offset 3.)"
    )
    assert (await bench.call("list_dir", {"depth": 1, "offset": 6})).text == "pipe?"
    assert (await bench.call("list_dir", {"path": "b/deep/deeper"})).text == "(The folder is empty.)"
    assert (await bench.call("list_dir", {"depth": 1, "offset": 7})).text == ".: has fewer than 7 entries"
    assert (await bench.call("list_dir", {"path": "a.txt"})).text == "a.txt: Not a directory"


async def test_a_file_is_written_whole_and_keeps_its_mode(tmp_path):
    """New folders are made, links lead to their file, the mode stays, and nothing is left beside it."""
    script = tmp_path / "run.sh"
    script.write_text("old")
    if os.geteuid() == 0:
        os.chown(script, 1234, 1234)
    script.chmod(0o751)
    owner = script.stat().st_uid
    (tmp_path / "link").symlink_to("run.sh")
    bench = Bench(tmp_path, write_file)
    assert (await bench.call("write_file", {"path": "link", "content": "new\n"})).text == "Replaced link (1 lines)."
    assert (await bench.call("write_file", {"path": "a/b/c", "content": "ä\n"})).text == "Created a/b/c (1 lines)."
    assert script.read_text() == "new\n"
    assert (script.stat().st_mode & 0o7777, script.stat().st_uid) == (0o751, owner)
    assert (tmp_path / "link").is_symlink()
    assert set(tree(tmp_path)) == {"run.sh", "link", "a", "a/b", "a/b/c"}
    for path, why in (("a", "a: is a folder"), ("run.sh/x", "run.sh/x: Not a directory")):
        answer = await bench.call("write_file", {"path": path, "content": ""})
        assert (answer.success, answer.text) == (False, why)


async def test_an_editor_as_models_know_it(tmp_path):
    """View, create, replace, insert; what is not there once, or is missing, is said."""
    bench = Bench(tmp_path, str_replace_editor)

    async def edit(command: str, path: str = "a.py", **arguments) -> str:
        return (await bench.call("str_replace_editor", {"command": command, "path": path, **arguments})).text

    assert await edit("create", file_text="x = 1\ny = 1\n") == "Wrote a.py."
    assert await edit("view") == "     1\tx = 1\n     2\ty = 1"
    assert await edit("view", view_range=[2, -1]) == "     2\ty = 1"
    assert "must be within 1 and 2" in await edit("view", view_range=[2, 3])
    assert await edit("str_replace", old_str="y = 1", new_str="y = 2") == "Replaced it in line 2 of a.py."
    assert "exactly once, and does so 2 times" in await edit("str_replace", old_str=" = ", new_str="=")
    assert "exactly once, and does so not at all" in await edit("str_replace", old_str="z = 1")
    assert await edit("str_replace", new_str="z") == "old_str: is missing"
    assert await edit("insert", insert_line=0, insert_text="import os") == "Inserted it behind line 0 of a.py."
    assert await edit("insert", insert_line=3, insert_text="z = 3\n") == "Inserted it behind line 3 of a.py."
    assert (tmp_path / "a.py").read_text() == "import os\nx = 1\ny = 2\nz = 3\n"
    assert await edit("insert", insert_line=9, insert_text="") == "insert_line: a.py has only 4 lines"
    (tmp_path / "dos").write_bytes(b"a\r\nb\r\nc")
    await edit("str_replace", "dos", old_str="a\nb\n", new_str="d\ne\n")
    await edit("insert", "dos", insert_line=3, insert_text="f")
    assert (tmp_path / "dos").read_bytes() == b"d\r\ne\r\nc\r\nf\r\n"


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (png(), "image/png"),
        (b"\xff\xd8\xff\xe0rest", "image/jpeg"),
        (b"GIF89arest", "image/gif"),
        (b"RIFF\x04\0\0\0WEBPrest", "image/webp"),
    ],
)
async def test_an_image_comes_as_a_part(tmp_path, data, kind):
    """As a data URL, of what it is, not of what its name says."""
    (tmp_path / "picture.txt").write_bytes(data)
    answer = await Bench(tmp_path, view_image).call("view_image", {"path": "picture.txt"})
    assert answer.text == f"picture.txt ({kind}, {len(data)} bytes)"
    (part,) = answer.parts or ()
    assert isinstance(part, ImagePart)
    start, _, encoded = (part.url or "").partition(",")
    assert (start, b64decode(encoded)) == (f"data:{kind};base64", data)


async def test_what_is_no_image_or_too_large_is_said(tmp_path):
    """No provider would take it."""
    (tmp_path / "page.png").write_text("<svg/>")
    (tmp_path / "big.png").write_bytes(png() + b"\0" * MOST_BYTES)
    bench = Bench(tmp_path, view_image)
    assert (await bench.call("view_image", {"path": "page.png"})).text == (
        "page.png: is no PNG, JPEG, GIF or WebP image"
    )
    assert (await bench.call("view_image", {"path": "big.png"})).text == f"big.png: has more than {MOST_BYTES} bytes"


async def test_a_plan_is_told_back(tmp_path):
    """With marks; two steps in progress are one too many."""
    bench = Bench(tmp_path, update_plan)
    statuses = {"a": "completed", "b": "in_progress", "c": "pending"}
    steps = [{"step": step, "status": status} for step, status in statuses.items()]
    answer = await bench.call("update_plan", {"plan": steps, "explanation": "Because."})
    assert answer.text == "Because.\n[x] a\n[>] b\n[ ] c"
    answer = await bench.call("update_plan", {"plan": [steps[1], steps[1]]})
    assert (answer.success, answer.text) == (False, "plan: at most one step may be in progress")
    answer = await bench.call("update_plan", {"plan": [{"step": "a", "status": "done"}]})
    assert (answer.success, "plan[0].status" in answer.text) == (False, True)
