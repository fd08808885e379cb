"""Commands in a sandbox: bubblewrap, where it is there and works.

Inside, the system is read-only and only the workspace (and an empty /tmp) can be written; homes, mounts and run-time
sockets are not there at all; no network, no other process is seen; when the server ends, so does all that is inside.
"""

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from tailrace.tools.errors import SandboxUnavailable

# What is empty inside, unless it is `readable` or in the workspace: homes, others' files, sockets of services.
HIDDEN = ("/home", "/root", "/run", "/tmp", "/var/tmp", "/mnt", "/media", "/srv")  # noqa: S108  # hidden, not used


class SandboxPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`mode`: without a sandbox, commands are refused (required), run all the same (preferred), or always run without
    one (off). `network`: may commands use it? `readable`: more of the system that they may read; `hidden`: that they
    may not, such as the server's own data."""

    mode: Literal["required", "preferred", "off"] = "required"
    network: bool = False
    readable: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


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
        place = Path(path).resolve()
        hidden = any(place.is_relative_to(folder) for folder in (*HIDDEN, *self._policy.hidden))
        return hidden and not any(place.is_relative_to(folder) for folder in self._policy.readable)

    def _prefix(self, program: str, root: Path, cwd: str, *, writable: bool) -> list[str]:
        prefix = [program, "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
        if not self._policy.network:
            prefix.append("--unshare-net")
        prefix += ["--die-with-parent", "--cap-drop", "ALL", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
        for path in (*HIDDEN, *self._policy.hidden):
            if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114  # a string for a command line
                prefix += ["--tmpfs", path]
        for path in self._policy.readable:
            prefix += ["--ro-bind-try", path, path]
        bind = "--bind" if writable else "--ro-bind"
        return [*prefix, bind, str(root), str(root), "--chdir", cwd]

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
