"""The examples in deploy/ are what they say: legal files that start what there is to start, with real settings."""

import re
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from tailrace import settings

DEPLOY = Path(__file__).parent.parent / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def nodes() -> dict[str, dict[str, Any]]:
    """The services that are Tailrace's own."""
    return {name: service for name, service in COMPOSE["services"].items() if "build" in service}


def test_compose_starts_every_role_over_redis_and_postgresql():
    """Each node has a role, the engines are healthy before it starts, and what is named exists."""
    roles = {service["command"][1] for service in nodes().values()}
    assert roles == set(settings.ROLES) - {"tools"}
    for service in nodes().values():
        assert set(service["depends_on"]) == {"redis", "postgres"}
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    for name in ("redis", "postgres"):
        engine = COMPOSE["services"][name]
        assert "healthcheck" in engine
        assert {volume.split(":")[0] for volume in engine["volumes"]} <= set(COMPOSE["volumes"])


def test_composes_environment_is_settings(tmp_path: Path):
    """With its variables filled in, it loads: no name in it is unknown, no value wrong."""
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    for service in nodes().values():
        filled = {
            name: re.sub(r"\$\{(\w+)[^}]*\}", "x", value) for name, value in service["environment"].items()
        }  # fmt: skip
        loaded = settings.load(empty, filled)
        assert loaded.log.url == "redis://redis:6379/0"
        assert loaded.store.url == "postgresql://tailrace:x@postgres:5432/tailrace"
        assert loaded.server.api_keys == ["x"]
        stop = float(service["stop_grace_period"].removesuffix("s"))
        assert stop > loaded.server.shutdown_s


def test_the_systemd_unit_is_legal():
    """systemd finds nothing wrong but that the program is not installed here; without systemd it is at least INI."""
    unit = DEPLOY / "tailrace.service"
    if shutil.which("systemd-analyze"):
        said = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False).stderr
        assert [line for line in said.splitlines() if "is not executable" not in line] == []
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names have capitals
    parser.read(unit)
    assert parser.sections() == ["Unit", "Service", "Install"]
    assert "tailrace serve" in parser["Service"]["ExecStart"]
    assert float(parser["Service"]["TimeoutStopSec"]) > 5


@pytest.mark.parametrize("name", ["compose.yaml", "tailrace.service", "Dockerfile"])
def test_the_examples_hold_no_secret(name: str):
    """Keys come from the environment, or from a file beside."""
    text = (DEPLOY / name).read_text()
    assert not re.search(r"(KEY|PASSWORD)\w*[=:] *[A-Za-z0-9]{8}", text)
