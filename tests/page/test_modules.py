"""The page's modules that need no page: run by Node's own test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow  # Node
@pytest.mark.skipif(shutil.which("node") is None, reason="no node: the page's modules need one to run outside of it")
@pytest.mark.parametrize("name", ["stream", "views"])
def test_the_modules_hold(name: str):
    """Each test of the file passes."""
    done = subprocess.run(
        ["node", "--test", str(HERE / f"{name}.test.mjs")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
