"""One server per data directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tailrace.log.datadir import lock_data_dir
from tailrace.schema.errors import SettingsError


def test_a_second_server_is_refused_and_told_who_is_there(tmp_path: Path) -> None:
    """The message names the process; after a release the directory is free."""
    folder = tmp_path / "deep" / "data"
    lock = lock_data_dir(folder)
    with pytest.raises(SettingsError, match=rf"in use by another server \(pid {os.getpid()}\)"):
        lock_data_dir(folder)
    lock.release()
    lock.release()
    lock_data_dir(folder).release()


def test_a_killed_server_holds_nothing(tmp_path: Path) -> None:
    """The lock ends with its process, however that ends; the file that stays is no lock."""
    script = (
        "import sys, time, pathlib; from tailrace.log.datadir import lock_data_dir;"
        " lock = lock_data_dir(pathlib.Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(SettingsError, match=rf"pid {child.pid}"):
        lock_data_dir(tmp_path)
    child.kill()
    child.communicate()
    lock_data_dir(tmp_path).release()


def test_a_directory_that_cannot_be_made_is_a_setting_to_mend(tmp_path: Path) -> None:
    """The message names it."""
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be used"):
        lock_data_dir(tmp_path / "file" / "data")
