"""The lock on a data directory: an embedded log serves one process at a time."""

import fcntl
import os
from pathlib import Path

from tailrace.schema.errors import SettingsError


class DataDirLock:
    """Holds a data directory until `release`, or until the process ends, however it ends."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        """Let another server have it. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def lock_data_dir(path: Path) -> DataDirLock:
    """Make the directory where there is none, and be the only one in it (flock(2) on its file `lock`).

    Raises SettingsError where another server is, or where the directory cannot be made or written to.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SettingsError(f"the data directory {path} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip()
        os.close(fd)
        raise SettingsError(
            f"the data directory {path} is in use by another server (pid {holder or 'unknown'})"
        ) from error
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    return DataDirLock(fd)
