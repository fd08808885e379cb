"""Changes to several files of a workspace, all of them or none.

New contents are written beside their targets first; then each takes its place by one rename. What was there is kept
under another name until all is done: when a step fails, the steps before it are taken back.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from secrets import token_hex
from typing import NamedTuple

from tailrace.tools.errors import ToolFailed
from tailrace.tools.workspace import READ_LIMIT, Place, Workspace, failing, open_regular, require_regular


class Seen(NamedTuple):
    """A file as it was read: what tells whether it has changed since."""

    device: int
    inode: int
    size: int
    modified_ns: int
    mode: int
    owner: int
    group: int


class Write(NamedTuple):
    """A file's new content. `before`: the file as it was read, None where none may be there. `mode`: permission bits
    of a new file, where they are to be others than new files have."""

    path: str
    data: bytes
    before: Seen | None
    mode: int | None = None


class Delete(NamedTuple):
    """A file, or a link, to take away."""

    path: str
    before: Seen


Change = Write | Delete


def current(workspace: Workspace, path: str) -> Seen | None:
    """The regular file that a path leads to; None where nothing is. Raises ToolFailed: something else is there."""
    found = look(workspace, path, follow=True)
    if found is not None:
        require_regular(found.st_mode, path)
    return seen(found)


def look(workspace: Workspace, path: str, *, follow: bool = False) -> os.stat_result | None:
    """What is at a path; None where nothing is. `follow`: not the link, but what it leads to."""
    try:
        with workspace.place(path, follow=follow) as place:
            return place.stat()
    except ToolFailed as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def read(workspace: Workspace, path: str) -> tuple[bytes, Seen]:
    """A regular file's bytes, and the file as it is. Raises ToolFailed."""
    with workspace.place(path) as place, open(open_regular(place.name, place.folder, path), "rb") as file:  # noqa: PTH123  # a descriptor is no path
        found = os.fstat(file.fileno())
        data = file.read(READ_LIMIT + 1)
    if len(data) > READ_LIMIT:
        raise ToolFailed(f"{path}: has more than {READ_LIMIT} bytes")
    return data, _as_seen(found)


def commit(workspace: Workspace, changes: Sequence[Change]) -> None:
    """Carry out all changes, or none. Raises ToolFailed: a file is not as it was read, or the system refuses."""
    folders = _NewFolders(workspace)
    with ExitStack() as places:
        try:
            steps = [_Step(change, places.enter_context(folders.place(change))) for change in changes]
            _carry_out(steps)
        except BaseException:
            folders.remove()
            raise


def _carry_out(steps: Sequence["_Step"]) -> None:
    begun: list[_Step] = []
    try:
        for step in steps:
            begun.append(step)
            step.prepare()
        for step in steps:
            step.apply()
    except BaseException:
        for step in reversed(begun):
            step.take_back()
        raise
    for step in steps:
        step.forget()


class _NewFolders:
    """The places of changes, and the folders that were made for them."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._made: list[str] = []

    @contextmanager
    def place(self, change: Change) -> Iterator[Place]:
        if isinstance(change, Delete):  # the link itself, where it is one
            with self._workspace.place(change.path, follow=False) as place:
                yield place
            return
        is_new = change.before is None
        if is_new:
            self._note_missing(change.path)
        with self._workspace.place(change.path, make=is_new) as place:
            yield place

    def remove(self) -> None:
        for path in reversed(self._made):
            with suppress(ToolFailed), self._workspace.place(path, follow=False) as place:
                os.rmdir(place.name, dir_fd=place.folder)

    def _note_missing(self, path: str) -> None:
        """Remember which of the folders on the way are not there yet."""
        names = self._workspace.parts(path)[1]
        for count in range(1, len(names)):
            folder = "/".join(names[:count])
            if folder not in self._made and look(self._workspace, folder) is None:
                self._made.append(folder)


class _Step:
    """One change at its place: prepared beside it, applied by a rename, and taken back by another."""

    def __init__(self, change: Change, place: Place) -> None:
        self._change = change
        self._place = place
        token = token_hex(8)
        self._new = f".tailrace-{token}.new"
        self._old = f".tailrace-{token}.old"
        self._kept = False
        self._applied = False

    def prepare(self) -> None:
        """What may fail for want of space or rights, and changes nothing yet."""
        with failing(self._change.path):
            if isinstance(self._change, Write):
                self._write(self._change)

    def apply(self) -> None:
        with failing(self._change.path):
            self._require_unchanged()
            if isinstance(self._change, Delete):
                self._rename(self._place.name, self._old)
                self._kept = self._applied = True
                return
            if self._change.before is None:
                # A link, not a rename: it fails where something has come to be there meanwhile.
                folder = self._place.folder
                os.link(self._new, self._place.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
                self._applied = True
                return
            self._keep()
            self._rename(self._new, self._place.name)
            self._applied = True

    def take_back(self) -> None:
        if self._applied and not self._kept:
            self._unlink(self._place.name)
        if self._kept:
            self._rename(self._old, self._place.name)
        self.forget()  # a rename onto the same file does nothing (rename(2)), and leaves both names

    def forget(self) -> None:
        self._unlink(self._old)
        self._unlink(self._new)

    def _write(self, change: Write) -> None:
        descriptor = os.open(
            self._new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666,
            dir_fd=self._place.folder,
        )  # fmt: skip
        with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor is no path
            file.write(change.data)
            if change.before is not None:
                _give(descriptor, change.before)
            mode = change.before.mode if change.before is not None else change.mode
            if mode is not None:
                os.fchmod(descriptor, stat.S_IMODE(mode))

    def _require_unchanged(self) -> None:
        found = self._place.stat()
        if seen(found) == self._change.before:
            return
        path = self._change.path
        if self._change.before is None:
            raise ToolFailed(f"{path}: exists already")
        raise ToolFailed(f"{path}: was {'changed' if found else 'deleted'} by something else meanwhile; read it again")

    def _keep(self) -> None:
        folder = self._place.folder
        os.link(self._place.name, self._old, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        self._kept = True

    def _rename(self, source: str, target: str) -> None:
        os.replace(source, target, src_dir_fd=self._place.folder, dst_dir_fd=self._place.folder)

    def _unlink(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._place.folder)


def seen(found: os.stat_result | None) -> Seen | None:
    """A file as it is found."""
    return None if found is None else _as_seen(found)


def _as_seen(found: os.stat_result) -> Seen:
    return Seen(
        found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode, found.st_uid, found.st_gid
    )  # fmt: skip


def _give(descriptor: int, before: Seen) -> None:
    """The new file is to be whose the old one was, where that can be had."""
    found = os.fstat(descriptor)
    if (found.st_uid, found.st_gid) != (before.owner, before.group):
        with suppress(PermissionError):
            os.fchown(descriptor, before.owner, before.group)
