"""`tailrace mcp list` and `tailrace doctor`: what the servers of the settings offer, and what is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tailrace.schema import codec
from tests.mcp.conftest import ROOT

pytestmark = pytest.mark.slow


def tailrace(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tailrace", *arguments], cwd=folder, capture_output=True, text=True, timeout=60,
        check=False, env={"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb"},
    )  # fmt: skip


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A folder with settings: a server, and one that is not there."""
    (tmp_path / "rough").mkdir()
    args = codec.encode(["-m", "tests.support.rough_server", str(tmp_path / "rough"), "malformed"]).decode()
    (tmp_path / "tailrace.toml").write_text(f'''
[mcp.servers.r]
command = "{sys.executable}"
args = {args}
env = {{PYTHONPATH = "{ROOT}"}}

[mcp.servers.gone]
command = "/nowhere/at/all"

[agents.a]
tools = ["r__say", "r__sya"]
approvals = {{r__saay = "always"}}
''')
    return tmp_path


def test_the_list(given: Path):
    """Tools, what is left out, names that mean nothing; and exit code 1, as one is not there."""
    ended = tailrace(given, "mcp", "list")
    lines = ended.stdout.splitlines()
    assert lines[:2] == ["r\tconnected\tr__say", "gone\tlost\tit cannot be started: No such file or directory"]
    assert any(line.startswith("mcp.servers.r: die is left out: its schema is none") for line in lines)
    assert "agents.a.tools: the MCP server r has no tool 'r__sya'" in lines
    assert "agents.a.approvals: the MCP server r has no tool 'r__saay'" in lines
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (1, "tailrace: not connected: gone")


def test_the_doctor_knows_them(given: Path):
    """Beside the providers."""
    told = tailrace(given, "doctor", "--url", "http://127.0.0.1:9").stdout.splitlines()
    assert "MCP server r: connected: 1 tools" in told
    assert "MCP server gone: lost: it cannot be started: No such file or directory" in told


def test_a_login_that_makes_no_sense(given: Path):
    """It says why, before it opens anything."""
    for name, why in (("x", "there is no 'x'; there are: r, gone"), ("r", "mcp.servers.r: takes no login")):
        ended = tailrace(given, "mcp", "login", name)
        assert (ended.returncode, why in ended.stderr) == (1, True)


def test_there_are_none(tmp_path: Path):
    """It says so."""
    ended = tailrace(tmp_path, "mcp", "list")
    assert (ended.returncode, ended.stderr) == (0, "the settings have no MCP servers\n")
