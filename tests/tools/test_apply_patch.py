"""`apply_patch` on real files: all of a patch or nothing, with line ends, modes and what stays as they were."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.tools.builtin.apply_patch import apply, apply_patch
from tailrace.tools.changes import Delete, Write, commit, current
from tailrace.tools.errors import ToolFailed
from tailrace.tools.patch_grammar import parse_patch
from tailrace.tools.patch_matching import apply_chunks
from tailrace.tools.workspace import Workspace
from tests.support.tools import Bench, tree


async def patch(root: Path, *lines: str, success: bool = True) -> str:
    text = "\n".join(["*** Begin Patch", *lines, "*** End Patch"])
    answer = await Bench(root, apply_patch).call("apply_patch", text, kind="custom")
    assert answer.success is success, answer.text
    return answer.text


def updated(text: str, *lines: str) -> str:
    (hunk,) = parse_patch("\n".join(["*** Begin Patch", "*** Update File: f", *lines, "*** End Patch"]))
    return apply_chunks(text, hunk.chunks, "f")


async def test_files_are_added_deleted_updated_and_moved(tmp_path):
    """In one patch; the answer lists them."""
    (tmp_path / "old").write_text("x\n")
    (tmp_path / "a").write_text("1\n2\n3\n")
    (tmp_path / "b").write_text("b\n")
    (tmp_path / "b").chmod(0o755)
    said = await patch(
        tmp_path, "*** Add File: new/deep/f", "+one", "+", "*** Delete File: old", "*** Update File: a", "@@", " 1",
        "-2", "+zwei", "*** Update File: b", "*** Move to: moved/b", "-b", "+B",
    )  # fmt: skip
    assert said == "Done:\nA new/deep/f\nD old\nM a\nR b -> moved/b"
    assert {path: content for path, (content, _) in tree(tmp_path).items() if content} == {
        "new/deep/f": b"one\n\n", "a": b"1\nzwei\n3\n", "moved/b": b"B\n",
    }  # fmt: skip
    assert (tmp_path / "moved" / "b").stat().st_mode & 0o777 == 0o755
    assert not (tmp_path / "b").exists()


async def test_a_later_hunk_sees_what_an_earlier_one_has_done(tmp_path):
    """A file is changed twice, moved and changed, deleted and added anew."""
    (tmp_path / "a").write_text("1\n2\n")
    (tmp_path / "b").write_text("old\n")
    await patch(
        tmp_path, "*** Update File: a", "-1", "+eins", "*** Update File: ./a", "-2", "+zwei", "*** Update File: a",
        "*** Move to: c", "*** Update File: c", " zwei", "+drei", "*** Delete File: b", "*** Add File: b", "+new",
        "*** Add File: gone", "+x", "*** Delete File: gone",
    )  # fmt: skip
    assert {path: content for path, (content, _) in tree(tmp_path).items()} == {
        "c": b"eins\nzwei\ndrei\n", "b": b"new\n",
    }  # fmt: skip


FAILING = {
    "the second chunk does not fit": ["*** Update File: a", "@@", "-1", "+eins", "@@", "-9", "+neun"],
    "the second file does not fit": ["*** Update File: a", "-1", "+eins", "*** Update File: b", "-nothing"],
    "the header is not there": ["*** Update File: a", "@@ def f():", "-1"],
    "no such file": ["*** Update File: a", "-1", "+eins", "*** Update File: nowhere", "-x"],
    "nothing to delete": ["*** Add File: x/y/new", "+x", "*** Delete File: nowhere"],
    "it is there already": ["*** Delete File: b", "*** Add File: a", "+x"],
    "the target is there already": ["*** Update File: a", "*** Move to: b", "-1"],
    "a folder": ["*** Update File: a", "-1", "*** Delete File: folder"],
    "a folder to be added": ["*** Add File: new", "+x", "*** Add File: folder", "+x"],
    "through a file": ["*** Add File: new/x", "+x", "*** Add File: a/x", "+x"],
    "out of the workspace": ["*** Delete File: b", "*** Add File: ../out", "+x"],
    "deleted before": ["*** Delete File: a", "*** Update File: a", "-1"],
    "no patch": ["*** Delete File: a", "nonsense"],
}


@pytest.mark.parametrize("lines", FAILING.values(), ids=FAILING)
async def test_c27_a_patch_that_does_not_fit_changes_nothing(tmp_path, lines):
    """Whatever part of it: the tree is as it was, new folders and helping files included."""
    (tmp_path / "root" / "folder").mkdir(parents=True)
    (tmp_path / "root" / "a").write_text("1\n2\n")
    (tmp_path / "root" / "b").write_text("b\n")
    before = tree(tmp_path)
    await patch(tmp_path / "root", *lines, success=False)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("failing", range(6))
def test_c27_changes_that_fail_half_way_are_taken_back(tmp_path, failing):
    """At each step: something else has come to be where a new file was to be."""
    root = tmp_path / "root"
    root.mkdir()
    workspace = Workspace(root)
    changes: list[Write | Delete] = []
    for number in range(6):
        name = f"f{number}"
        if number % 3 < 2:
            (root / name).write_text(f"old {number}")
            (root / name).chmod(0o640 + number)
        before = current(workspace, name)
        kinds = (Write(name, b"new", before), Delete(name, before), Write(f"new/{name}", b"new", None))
        changes.append(kinds[number % 3])
    bad = changes[failing]
    if failing % 3 == 2:
        (root / "new").mkdir()
        (root / bad.path).write_text("in the way")
    else:
        (root / bad.path).write_text("changed meanwhile")
    before = tree(root)
    with pytest.raises(ToolFailed, match="exists already" if failing % 3 == 2 else "was changed by something else"):
        commit(workspace, changes)
    assert tree(root) == before


@pytest.mark.parametrize(
    ("text", "lines", "result"),
    [
        ("a\r\nb\r\nc\r\n", ["-b", "+B", "+BB"], "a\r\nB\r\nBB\r\nc\r\n"),
        ("a\r\nb\n", ["-a", "+A", " b", "+c"], "A\r\nb\nc\n"),
        ("a\nb\r\n", [" a", "+x", " b", "+y"], "a\nx\nb\r\ny\r\n"),
        ("a\nb", ["-b", "+B"], "a\nB"),
        ("a\nb", [" b", "+c"], "a\nb\nc"),
        ("a\r\nb", ["+c"], "a\r\nb\r\nc"),
        ("", ["+a"], "a\n"),
        ("\ufeffa\nb\n", ["-a", "+A"], "\ufeffA\nb\n"),
        ("a\n", ["-a"], ""),
    ],
)
def test_c27_line_ends_stay_as_they_are(text, lines, result):
    """CRLF, mixed, none at the end, a byte order mark: what comes ends as what is before it."""
    assert updated(text, *lines) == result


@pytest.mark.parametrize(
    ("text", "lines", "result"),
    [
        ("x  \ny\n", ["-x", "+z", " y"], "z\ny\n"),
        ("    x\ny\n", ["-x", "+z"], "z\ny\n"),
        ("a \u2013 \u201cb\u201d\nc\n", [' a - "b"', "-c", "+d"], "a \u2013 \u201cb\u201d\nd\n"),
        ("x\u00a0=\u2009don\u2019t\n", ["-x = don't", "+y"], "y\n"),
        (" x\nx\n", ["-x", "+z"], " x\nz\n"),  # the strictest pass first, wherever it leads
    ],
)
def test_lines_are_found_in_more_and_more_lenient_passes(text, lines, result):
    """White space behind, white space around, typographic punctuation; what stays, stays the file's."""
    assert updated(text, *lines) == result


@pytest.mark.parametrize(
    ("lines", "result"),
    [
        (["@@ def b", "-  x", "+  y"], "def a\n  x\ndef b\n  y\ndef c\n  x\n"),
        (["@@ def b", " def b", "-  x", "+  y"], "def a\n  x\ndef b\n  y\ndef c\n  x\n"),
        (["@@ def b", "+  new"], "def a\n  x\ndef b\n  new\n  x\ndef c\n  x\n"),
        (["+end"], "def a\n  x\ndef b\n  x\ndef c\n  x\nend\n"),
        (["-  x", "+  y", "*** End of File"], "def a\n  x\ndef b\n  x\ndef c\n  y\n"),
        (["-  x", "+  1", "@@", "-  x", "+  2"], "def a\n  1\ndef b\n  2\ndef c\n  x\n"),
        (["@@ def b", "-  x", "+  1", "@@ def c", "+  2", "-  x"], "def a\n  x\ndef b\n  1\ndef c\n  2\n"),
        (["-  x", "+  y", " def b", " "], "def a\n  y\ndef b\n  x\ndef c\n  x\n"),
    ],
)
def test_where_a_chunk_belongs(lines, result):
    """Behind the line of its header, behind the chunk before, at the end where it says so."""
    assert updated("def a\n  x\ndef b\n  x\ndef c\n  x\n", *lines) == result


async def test_files_that_are_no_utf_8_keep_their_bytes(tmp_path):
    """What is not understood is not changed."""
    (tmp_path / "latin").write_bytes(b"caf\xe9\nx\n\xff\0\n")
    await patch(tmp_path, "*** Update File: latin", "-x", "+y")
    assert (tmp_path / "latin").read_bytes() == b"caf\xe9\ny\n\xff\0\n"


async def test_links_are_updated_where_they_lead_and_deleted_themselves(tmp_path):
    """Moving one is refused: it could mean either."""
    (tmp_path / "real").write_text("x\n")
    (tmp_path / "link").symlink_to("real")
    await patch(tmp_path, "*** Update File: link", "-x", "+y")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "y\n"
    assert "is a link" in await patch(tmp_path, "*** Update File: link", "*** Move to: x", "-y", "+z", success=False)
    await patch(tmp_path, "*** Delete File: link")
    assert contents(tmp_path) == {"real": b"y\n"}


# --- generated patches against an independent check ---------------------------------------------------------------


class Edits:
    """A random change of a random tree: the patch that says it, and the tree that it makes, each made for itself."""

    def __init__(self, seed: int, end: str) -> None:
        self.random = random.Random(seed)
        self.end = end
        self.before: dict[str, list[str]] = {}
        self.after: dict[str, list[str]] = {}
        self.lines: list[str] = []
        for number in range(self.random.randint(1, 4)):
            name = f"{self.random.choice(['', 'd/', 'd/e/'])}f{number}"
            # Lines are unique, so that there is one place for each chunk, whatever the matching does.
            count = self.random.randint(0, 12)
            self.before[name] = [f"{number}.{line} {self.random.choice('abc')}" for line in range(count)]
        for name in self.before:
            self._change(name)
        if self.random.random() < 0.5 or not self.lines:
            self.after["new/file"] = ["n", "", "+x"]
            self.lines += ["*** Add File: new/file", "+n", "+", "++x"]

    def _change(self, name: str) -> None:
        kind = self.random.choice(["keep", "delete", "update", "update", "move"])
        old = self.before[name]
        if kind == "keep" or (kind != "delete" and not old):
            self.after[name] = old
            return
        if kind == "delete":
            self.lines.append(f"*** Delete File: {name}")
            return
        target = f"moved/{name}" if kind == "move" else name
        self.lines.append(f"*** Update File: {name}")
        if kind == "move":
            self.lines.append(f"*** Move to: {target}")
        self.after[target] = self._chunks(old)

    def _chunks(self, old: list[str]) -> list[str]:
        """Cut the file into stretches; of every other, some lines go and some come, with a line of context at least."""
        new: list[str] = []
        place, said = 0, False
        while place < len(old):
            stretch = old[place : place + self.random.randint(1, 5)]
            place += len(stretch)
            if said and self.random.random() < 0.4:
                new += stretch
                continue
            self.lines.append("@@")
            for index, line in enumerate(stretch):
                fate = self.random.choice(["stay", "go", "add", "replace"]) if index else "stay"
                self.lines.append(f"{' ' if fate in {'stay', 'add'} else '-'}{line}")
                if fate in {"stay", "add"}:
                    new.append(line)
                if fate in {"add", "replace"}:
                    added = f"new {self.random.randint(0, 99)}"
                    self.lines.append(f"+{added}")
                    new.append(added)
            said = True
        return new

    def written(self, files: dict[str, list[str]]) -> dict[str, bytes]:
        return {name: "".join(line + self.end for line in lines).encode() for name, lines in files.items()}


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), crlf=st.booleans())
def test_generated_patches_make_what_they_say(tmp_path_factory, seed, crlf):
    """The tree afterwards is the one that was made beside the patch; a patch that is spoilt changes nothing."""
    root = tmp_path_factory.mktemp("tree")
    edits = Edits(seed, "\r\n" if crlf else "\n")
    for name, data in edits.written(edits.before).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    before = tree(root)
    workspace = Workspace(root)
    spoilt = [*edits.lines, "*** Update File: f-not-there", "-x"]
    with pytest.raises(ToolFailed):
        run_patch(workspace, spoilt)
    assert tree(root) == before
    run_patch(workspace, edits.lines)
    after = edits.written(edits.after)
    if crlf and "new/file" in after:  # a new file has no line ends yet that could stay
        after["new/file"] = after["new/file"].replace(b"\r\n", b"\n")
    assert contents(root) == after


def run_patch(workspace: Workspace, lines: list[str]) -> None:
    apply(workspace, "\n".join(["*** Begin Patch", *lines, "*** End Patch"]))


ALPHABET = st.lists(st.sampled_from("ab"), max_size=8)


CHUNK = st.lists(st.tuples(st.sampled_from(" -+"), st.sampled_from("ab")), min_size=1, max_size=4)


@settings(max_examples=300, deadline=None)
@given(old=ALPHABET, chunks=st.lists(CHUNK, min_size=1, max_size=3))
def test_repeated_lines_are_found_as_a_plain_search_finds_them(old, chunks):
    """Among many equal lines: the first place behind the chunk before, and none where there is none."""
    lines = [text for chunk in chunks for text in ("@@", *(mark + line for mark, line in chunk))]
    expected = plainly(old, chunks)
    try:
        found = updated("".join(f"{line}\n" for line in old), *lines)
    except ToolFailed:
        found = None
    assert found == (None if expected is None else "".join(f"{line}\n" for line in expected))


def plainly(old: list[str], chunks: list[list[tuple[str, str]]]) -> list[str] | None:
    """The same by the shortest way: rebuild the file from left to right. None: a chunk is nowhere."""
    new: list[str] = []
    place = 0
    for chunk in chunks:
        wanted = [line for mark, line in chunk if mark != "+"]
        if not wanted:
            new += old[place:]
            place = len(old)
            new += [line for _, line in chunk]
            continue
        size = len(wanted)
        starts = [start for start in range(place, len(old) - size + 1) if old[start : start + size] == wanted]
        if not starts:
            return None
        new += old[place : starts[0]] + [line for mark, line in chunk if mark != "-"]
        place = starts[0] + size
    return new + old[place:]
