"""No path leads out of the workspace, whatever is tried."""

import ctypes
import os
import socket
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.tools.builtin.apply_patch import apply_patch
from tailrace.tools.builtin.list_dir import list_dir
from tailrace.tools.builtin.read_file import read_file
from tailrace.tools.builtin.str_replace_editor import str_replace_editor
from tailrace.tools.builtin.view_image import view_image
from tailrace.tools.builtin.write_file import write_file
from tailrace.tools.changes import Write, commit, current
from tailrace.tools.errors import OutsideWorkspace, ToolFailed
from tailrace.tools.workspace import Workspace
from tests.support.tools import Bench, tree

SECRET = "the secret outside"
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # renameat2(2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace beside a secret, with links of every kind."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text(SECRET)
    (tmp_path / "inside-not").mkdir()
    (tmp_path / "inside-not" / "secret.txt").write_text(SECRET)
    root = tmp_path / "inside"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "file.txt").write_text("inside")
    (root / "file-link").symlink_to("a/file.txt")
    (root / "folder-link").symlink_to("a")
    (root / "absolute-inside").symlink_to(root / "a" / "file.txt")
    (root / "a" / "b" / "up").symlink_to("../../a/file.txt")
    (root / "chain").symlink_to("folder-link/b/up")
    (root / "out-file").symlink_to("../outside/secret.txt")
    (root / "out-folder").symlink_to("../outside")
    (root / "out-absolute").symlink_to(tmp_path / "outside")
    (root / "out-chain").symlink_to("a/b/out-step")
    (root / "a" / "b" / "out-step").symlink_to("../../../outside")
    (root / "out-new").symlink_to("../outside/new.txt")
    (root / "loop").symlink_to("loop")
    (root / "out-proc").symlink_to("/proc/self/root")
    return root


INSIDE = [
    "a/file.txt", "./a//file.txt", "a/../a/file.txt", "a/b/../../a/file.txt", "file-link", "folder-link/file.txt",
    "absolute-inside", "a/b/up", "chain", "folder-link/b/../file.txt", "{root}/a/file.txt", "{root}//file-link",
]  # fmt: skip
OUTSIDE = [
    "..", "../outside/secret.txt", "a/../../outside/secret.txt", "/etc/passwd", "/", "//etc/passwd", "out-file",
    "out-folder/secret.txt", "out-absolute/secret.txt", "out-chain/secret.txt", "folder-link/../../outside/secret.txt",
    "out-proc/etc/passwd", "{root}/../outside/secret.txt", "{root}-not/secret.txt", "{root}/../inside-not/secret.txt",
    "a/b/out-step/secret.txt", "/proc/self/cwd/secret.txt", "./../outside/secret.txt", "out-new",
]  # fmt: skip


@pytest.mark.parametrize("path", INSIDE)
def test_paths_and_links_inside_lead_where_they_say(root, path):
    """Links within the workspace are what they are in any project."""
    assert Workspace(root).read(path.format(root=root)) == b"inside"


@pytest.mark.parametrize("path", OUTSIDE)
def test_c26_what_leads_out_is_refused(root, path):
    """By `..`, by an absolute path, by a link, by a link to a link, by a name that only begins like the root's."""
    with pytest.raises(OutsideWorkspace):
        Workspace(root).read(path.format(root=root))


@pytest.mark.parametrize("path", OUTSIDE)
async def test_c26_every_tool_refuses_what_leads_out(root, path):
    """Read, list, write, edit, patch, view: nothing outside is seen or changed."""
    bench = Bench(root, read_file, list_dir, write_file, str_replace_editor, apply_patch, view_image)
    path = path.format(root=root)
    before = tree(root.parent)
    patch = "*** Begin Patch\n*** {} File: {}\n{}*** End Patch"
    move = f"*** Begin Patch\n*** Update File: a/file.txt\n*** Move to: {path}\n*** End Patch"
    calls = [
        ("read_file", {"path": path}),
        ("list_dir", {"path": path}),
        ("write_file", {"path": path, "content": "x"}),
        ("view_image", {"path": path}),
        ("str_replace_editor", {"command": "view", "path": path}),
        ("str_replace_editor", {"command": "create", "path": path, "file_text": "x"}),
        ("str_replace_editor", {"command": "str_replace", "path": path, "old_str": "secret", "new_str": "x"}),
        ("apply_patch", {"input": patch.format("Update", path, "@@\n-the secret outside\n+x\n")}),
    ]
    if not path.startswith("out-"):  # that a link be deleted or be in the way says nothing of what it leads to
        calls += [
            ("apply_patch", {"input": move}),
            ("apply_patch", {"input": patch.format("Add", path, "+x\n")}),
            ("apply_patch", {"input": patch.format("Delete", path, "")}),
        ]
    for name, arguments in calls:
        answer = await bench.call(name, arguments)
        assert not answer.success, (name, arguments)
        assert answer.error == "outside_workspace", (name, answer.text)
        assert SECRET not in answer.text
    assert tree(root.parent) == before


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere.txt", "nowhere.txt: No such file or directory"),
        ("a/file.txt/x", "a/file.txt/x: Not a directory"),
        ("a", "a: is a folder"),
        (".", ".: is a folder"),
        ("a/b/..", "a/b/..: is a folder"),
        ("loop", "loop: too many links on the way"),
        ("x" * 300, "File name too long"),
        ("a\0b", "'a\\x00b': a path holds no zero byte"),
        ("a\ud800", "'a\\ud800': is no name that a file can have"),
    ],
)
def test_what_cannot_be_read_says_why(root, path, said):
    """With the path as it was given, and never with one of the machine's."""
    with pytest.raises(ToolFailed) as error:
        Workspace(root).read(path)
    assert error.value.message.endswith(said)


def test_pipes_sockets_and_devices_are_not_opened(root):
    """Opening a pipe would wait for ever, opening a device may do anything."""
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "socket"))
        for name in ("pipe", "socket"):
            with pytest.raises(ToolFailed, match="is not a regular file"):
                Workspace(root).read(name)


def test_a_file_over_the_limit_is_not_taken_into_memory(root):
    """It says how much there may be."""
    (root / "big").write_bytes(b"x" * 101)
    assert len(Workspace(root).read("big", limit=101)) == 101
    with pytest.raises(ToolFailed, match="big: has more than 100 bytes"):
        Workspace(root).read("big", limit=100)


NAMES = st.sampled_from(["..", ".", "a", "b", "in", "out", "abs", "x", "", "secret.txt"])


@pytest.fixture(scope="module")
def maze(tmp_path_factory) -> Path:
    """Folders within folders, with links up, down and out."""
    top = tmp_path_factory.mktemp("maze")
    (top / "secret.txt").write_text(SECRET)
    root = top / "root"
    for folder in (root, root / "a", root / "a" / "b", root / "b", root / "b" / "a"):
        folder.mkdir()
        (folder / "x").write_text("inside")
    for folder in (root, root / "a", root / "a" / "b", root / "b"):
        (folder / "in").symlink_to("a")
        (folder / "out").symlink_to("..")
        (folder / "abs").symlink_to("/")
    return root


@settings(max_examples=300, deadline=None)
@given(names=st.lists(NAMES, max_size=8), absolute=st.booleans())
def test_a_path_is_resolved_as_the_system_does_or_refused(maze, names, absolute):
    """Whatever is made of folders, links and dots: what is read is what the system would read, and lies inside."""
    path = ("/" if absolute else "") + "/".join(names)
    try:
        data = Workspace(maze).read(path)
    except ToolFailed:
        return
    real = (Path(path) if absolute else maze / path).resolve()
    assert real.is_relative_to(maze)
    assert data == real.read_bytes() == b"inside"


@settings(max_examples=300, deadline=None)
@given(names=st.lists(NAMES, max_size=8))
def test_what_lies_inside_all_the_way_is_not_refused(maze, names):
    """Only what leaves the workspace is; a path that stays in it is read."""
    path = "./" + "/".join(names)
    place, inside = maze, True
    for name in [name for name in names if name not in {"", "."}]:
        if not place.is_dir():
            return
        place = (place / name).resolve()
        inside &= place.is_relative_to(maze)
    if inside and place.is_file():
        assert Workspace(maze).read(path) == b"inside"


@pytest.mark.slow
@pytest.mark.parametrize("swapped", ["folder", "file"])
def test_a_name_that_is_swapped_for_a_link_meanwhile_leads_nowhere(tmp_path, swapped):
    """Somebody exchanges a folder, or a file, for a link out, again and again, while it is read and written."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text(SECRET)
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "file").write_text("inside")
    target = root / "folder" if swapped == "folder" else root / "folder" / "file"
    link = tmp_path / "link"
    link.symlink_to(outside if swapped == "folder" else outside / "file")
    stop = threading.Event()
    exchange = partial(
        ctypes.CDLL(None, use_errno=True).renameat2, AT_FDCWD, bytes(target), AT_FDCWD, bytes(link), RENAME_EXCHANGE
    )

    def swap() -> None:
        while not stop.is_set():
            assert exchange() == 0

    swapping = threading.Thread(target=swap)
    swapping.start()
    workspace, seen, end = Workspace(root), set(), time.monotonic() + 1.5
    try:
        while time.monotonic() < end:
            try:
                seen.add(workspace.read("folder/file"))
                commit(workspace, [Write("folder/file", b"inside", current(workspace, "folder/file"))])
                commit(workspace, [Write("folder/new", b"new", None)])
            except ToolFailed as error:
                seen.add(type(error).__name__)
    finally:
        stop.set()
        swapping.join()
    assert b"inside" in seen
    assert SECRET.encode() not in seen
    assert "OutsideWorkspace" in seen  # the link was met, and refused
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"file": SECRET}


def test_a_missing_root_is_an_error_at_once(tmp_path):
    """There is nothing to confine to."""
    with pytest.raises(FileNotFoundError):
        Workspace(tmp_path / "nowhere")
