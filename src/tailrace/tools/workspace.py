"""The folder that tools work in, and the only way to its files.

Paths are resolved from the root's descriptor, one name at a time, without following links (`O_NOFOLLOW`); a link is
read and its target resolved in the same way. What leads out is refused: `..` above the root, an absolute path or a link
to elsewhere. A name that is swapped for a link in between fails at the next step: there is no moment in which the
kernel follows one (the same idea as openat2's RESOLVE_BENEATH, for every kernel).

A path is relative to the root; an absolute one that begins with the root is taken, too: compilers and models say such.
"""

import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tailrace.tools.errors import OutsideWorkspace, ToolFailed

MOST_LINKS = 40  # as Linux has it (path_resolution(7))
READ_LIMIT = 64 * 1024 * 1024  # bytes; more of a file is not taken into memory

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class Place(NamedTuple):
    """Where a path ends: the open folder and the name in it, `.` for the root. It may be that nothing is there.

    `path`: relative to the root, without links, for people.
    """

    folder: int
    name: str
    path: str

    def stat(self) -> os.stat_result | None:
        """What is there, itself and not what it links to; None where nothing is."""
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None


class Workspace:
    """The folder `root`, which must exist. Raises OutsideWorkspace and ToolFailed, with the path as it was given."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve(strict=True)
        self._spellings = tuple(dict.fromkeys((str(self.root), os.path.abspath(root))))  # noqa: PTH100  # no links read

    @contextmanager
    def place(self, path: str, *, follow: bool = True, make: bool = False) -> Iterator[Place]:
        """The place a path leads to; its folder is closed afterwards.

        `follow`: a link at its end leads on; otherwise it is the link itself. `make`: missing folders are made.
        """
        with failing(path):
            walk = _Walk(self, path, make=make)
            try:
                place = walk.to_end(follow=follow)
                walk.close(but=place.folder)
                yield place
            finally:
                walk.close()

    def open_file(self, path: str) -> int:
        """A descriptor to read a regular file by; the caller closes it."""
        with self.place(path) as place:
            return open_regular(place.name, place.folder, path)

    def open_folder(self, path: str) -> int:
        """A descriptor of a folder; the caller closes it."""
        with self.place(path) as place:
            return os.open(place.name, _DIRECTORY, dir_fd=place.folder)

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        """The bytes of a regular file of at most `limit` bytes."""
        descriptor = self.open_file(path)
        with failing(path), open(descriptor, "rb") as file:  # noqa: PTH123  # a descriptor is no path
            data = file.read(limit + 1)
        if len(data) > limit:
            raise ToolFailed(f"{path}: has more than {limit} bytes")
        return data

    def parts(self, path: str) -> tuple[bool, list[str]]:
        """The names in a path, and whether it starts at the root whatever came before. Raises OutsideWorkspace."""
        if "\0" in path:
            raise ToolFailed(f"{path!r}: a path holds no zero byte")
        from_root = path.startswith("/")
        if from_root:
            path = self._below_root(path)
        return from_root, [name for name in path.split("/") if name not in {"", "."}]

    def _below_root(self, path: str) -> str:
        for root in self._spellings:
            base = root.rstrip("/")
            if path == root or path.startswith(base + "/"):
                return path[len(base) :]
        raise OutsideWorkspace(f"{path}: is outside of the workspace; give a path relative to its root")


class _Walk:
    """From the root to the end of a path: the stack of folders on the way is what `..` goes back by."""

    def __init__(self, workspace: Workspace, path: str, *, make: bool) -> None:
        self._workspace = workspace
        self._path = path
        self._make = make
        self._links = 0
        self._names: list[str] = []
        self._folders = [os.open(workspace.root, _DIRECTORY)]

    def to_end(self, *, follow: bool) -> Place:
        waiting = deque(self._workspace.parts(self._path)[1])
        while waiting:
            name = waiting.popleft()
            if name == "..":
                self._up()
            elif (target := self._link(name)) is not None and (waiting or follow):
                waiting.extendleft(reversed(self._followed(target)))
            elif waiting:
                self._down(name)
            else:
                return Place(self._folders[-1], name, "/".join([*self._names, name]))
        if self._names:  # the path ended in `..`, or in a link to such: say it by its own name
            return Place(self._folders[-2], self._names[-1], "/".join(self._names))
        return Place(self._folders[0], ".", ".")

    def close(self, but: int | None = None) -> None:
        for folder in self._folders:
            if folder != but:
                os.close(folder)
        self._folders = [] if but is None else [but]

    def _up(self) -> None:
        if not self._names:
            raise OutsideWorkspace(f"{self._path}: leads out of the workspace")
        os.close(self._folders.pop())
        self._names.pop()

    def _link(self, name: str) -> str | None:
        try:
            return os.readlink(name, dir_fd=self._folders[-1])
        except OSError:  # not a link, or not there: the next step says which
            return None

    def _followed(self, target: str) -> list[str]:
        self._links += 1
        if self._links > MOST_LINKS:
            raise ToolFailed(f"{self._path}: too many links on the way")
        try:
            from_root, names = self._workspace.parts(target)
        except OutsideWorkspace:
            raise OutsideWorkspace(f"{self._path}: is a link out of the workspace") from None
        while from_root and self._names:
            self._up()
        return names

    def _down(self, name: str) -> None:
        folder = self._folders[-1]
        try:
            below = os.open(name, _DIRECTORY, dir_fd=folder)
        except FileNotFoundError:
            if not self._make:
                raise
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=folder)
            below = os.open(name, _DIRECTORY, dir_fd=folder)
        self._folders.append(below)
        self._names.append(name)


def open_regular(name: str, folder: int, path: str) -> int:
    """A descriptor of a regular file in a folder. Pipes, sockets and devices are not opened: that alone may block, or
    do something. Raises OSError, ToolFailed."""
    require_regular(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode, path)
    descriptor = os.open(name, _FILE, dir_fd=folder)
    try:
        require_regular(os.fstat(descriptor).st_mode, path)
    except ToolFailed:
        os.close(descriptor)
        raise
    return descriptor


def open_subfolder(name: str, folder: int) -> int:
    """A descriptor of a folder in a folder, unless it is a link. Raises OSError."""
    return os.open(name, _DIRECTORY, dir_fd=folder)


def shown(path: str) -> str:
    """A path as text of one line: a name may hold anything but `/`."""
    return path if path.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in path)


@contextmanager
def failing(path: str) -> Iterator[None]:
    """What the system says of a path, as the ToolFailed that says it."""
    try:
        yield
    except OSError as error:
        raise ToolFailed(f"{path}: {os.strerror(error.errno) if error.errno else error}") from error
    except UnicodeError as error:
        raise ToolFailed(f"{path!r}: is no name that a file can have") from error


def require_regular(mode: int, path: str) -> None:
    """Raises ToolFailed: the mode is not one of a regular file."""
    if stat.S_ISDIR(mode):
        raise ToolFailed(f"{path}: is a folder")
    if not stat.S_ISREG(mode):
        raise ToolFailed(f"{path}: is not a regular file")
