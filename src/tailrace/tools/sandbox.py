"""Commands in a sandbox: bubblewrap, where it is there and works.

Inside, the system is read-only and only the workspace (and an empty /tmp) can be written; homes, mounts and run-time
sockets are not there at all; no network, no other process is seen; when the server ends, so does all that is inside.
"""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from tailrace.tools.errors import SandboxUnavailable
from tailrace.tools.policy import SandboxPolicy

# What is empty inside, unless it is `readable` or in the workspace: homes, others' files, sockets of services.
HIDDEN = ("/home", "/root", "/run", "/tmp", "/var/tmp", "/mnt", "/media", "/srv")  # noqa: S108  # hidden, not used


class Sandbox:
    """Turns a command into one that runs in the sandbox, as far as the policy and the system go."""

    def __init__(self, policy: SandboxPolicy, program: str | None = None) -> None:
        self._policy = policy
        self._program = program or shutil.which("bwrap")
        self._works: bool | None = None

    async def wrap(self, command: Sequence[str], root: Path, cwd: str, *, writable: bool = True) -> list[str] | None:
        """The command in its sandbox, in the folder `cwd` of the workspace `root`; None where it may run without one.

        Raises SandboxUnavailable: the policy demands one, and there is none.
        """
        if self._policy.mode == "off":
            return None
        if self._works is None:
            self._works = await self._try()
        if self._works and self._program:
            return [*self._prefix(self._program, root, cwd, writable=writable), "--", *command]
        if self._policy.mode == "required":
            raise SandboxUnavailable(
                "Commands run only in a sandbox here, and bubblewrap (`bwrap`) is not there or does not work."
            )
        return None

    def hides(self, path: str) -> bool:
        """Is a program of the system not to be seen from inside?"""
        places = (Path(path), Path(path).resolve())
        return any(
            place.is_relative_to(folder)
            and not any(place.is_relative_to(readable) for readable in self._policy.readable)
            for folder in (*HIDDEN, *self._policy.hidden)
            for place in places
        )

    def _prefix(self, program: str, root: Path, cwd: str, *, writable: bool) -> list[str]:
        prefix = [program, "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
        if not self._policy.network:
            prefix.append("--unshare-net")
        prefix += ["--die-with-parent", "--cap-drop", "ALL", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
        prefix += _emptied(HIDDEN)
        for path in self._policy.readable:
            prefix += ["--ro-bind-try", path, path]
        prefix += ["--bind" if writable else "--ro-bind", str(root), str(root)]
        return [*prefix, *_emptied(self._policy.hidden), "--chdir", cwd]

    async def _try(self) -> bool:
        """Does it work here? Containers often forbid what it needs."""
        if self._program is None:
            return False
        try:
            process = await asyncio.create_subprocess_exec(
                *self._prefix(self._program, Path("/usr"), "/", writable=False), "--", "true",
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        except OSError:
            return False
        return await process.wait() == 0


def _emptied(paths: Sequence[str]) -> list[str]:
    """Empty folders and files in the place of these."""
    options: list[str] = []
    for path in map(Path, paths):
        if path.is_symlink():
            continue  # where it leads is another path
        if path.is_dir():
            options += ["--tmpfs", str(path)]
        elif path.is_file():
            options += ["--ro-bind", "/dev/null", str(path)]
    return options
