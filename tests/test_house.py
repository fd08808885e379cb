"""The house keeps its own rules: floors, purity, budgets, exports, and nothing of anybody's machine in the files."""

import ast
import importlib
import pkgutil
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

import tailrace
from scripts import check_budgets, check_purity

ROOT = Path(__file__).resolve().parent.parent
# Run by their own tool in its own surroundings, not imported.
NOT_IMPORTED = re.compile(r"\.migrations(\.|$)|\.__main__$")
# Put together here, so that this file does not find itself.
MACHINE_PATHS = tuple("/" + folder for folder in ("work/", "root/"))
REGISTRIES = tuple(name + ending for name, ending in (("pypi", ".org"), ("pythonhosted", ".org"), ("crates", ".io")))
SECRETS = re.compile(
    r"\bsk-(?:ant-|proj-)?[A-Za-z0-9]{20,}|\bAKIA[0-9A-Z]{16}\b|\bAIza[\w-]{35}|\bgh[pousr]_[A-Za-z0-9]{36}"
    r"|\bxox[abp]-[\w-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
EXCUSE = re.compile(r"#\s*(?:noqa(?::\s*[A-Z0-9, ]+)?|type:\s*ignore(?:\[[\w, -]*\])?)\s*(?P<reason>.*)$")


def project_files() -> list[Path]:
    """The files that are, or are about to be, in the repository."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git repository: which files belong to it is not known")
    command = [git, "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def project_texts() -> list[tuple[str, str]]:
    return [
        (str(path.relative_to(ROOT)), path.read_text(encoding="utf-8", errors="replace")) for path in project_files()
    ]


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}"
        for name, text in project_texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_floors_0_to_2_are_pure_and_json_has_one_door():
    """No clock, randomness, environment, I/O or async on the pure floors; JSON only in schema/codec.py."""
    assert check_purity.check(check_purity.PACKAGE) == []


@pytest.mark.parametrize(
    "code",
    [
        "async def f(): pass",
        "import asyncio",
        "import os.path",
        "from time import monotonic",
        "from datetime import datetime\nx = datetime.now()",
        "from uuid import uuid4",
        "import uuid\nx = uuid.uuid4()",
        "import random",
        "x = open('f')",
        "import logging",
        "def f():\n    from socket import socket",
    ],
)
def test_impurity_is_seen(code):
    """The purity check finds each kind of what it forbids."""
    assert list(check_purity.impurities(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ["import re, math, msgspec", "from hashlib import sha1", "from uuid import UUID, uuid5"]
)
def test_purity_lets_pure_code_pass(code):
    """Computation is not I/O."""
    assert list(check_purity.impurities(ast.parse(code))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import json",
        "from json import loads",
        "import msgspec.json",
        "from msgspec import json",
        "import msgspec\nmsgspec.json.encode",
    ],
)
def test_a_second_json_door_is_seen(code):
    """Every way to JSON beside the codec is found."""
    assert list(check_purity.json_doors(ast.parse(code)))


def test_functions_and_files_keep_their_budgets():
    """Nothing in the repository is longer than it may be, and every exception is still needed."""
    assert check_budgets.check(ROOT) == []


def test_a_function_is_measured_without_its_docstring():
    """50 lines pass, 51 do not, whatever the docstring adds."""
    source = 'def f():\n    """Long\n\n    words."""\n' + "    x = 1\n" * 50
    for text, over in ((source, False), (source + "    x = 1\n", True)):
        found = check_budgets.functions(ast.parse(text), text, "a.py")
        assert bool(check_budgets.judge(found, {})) is over


def test_an_exception_must_be_named_needed_and_rare():
    """A `noqa` of a budget needs a name in the table, a name needs its function, and 3 % is the limit."""
    source = "def f():  # noqa: C901  # a table would be longer\n    pass\n"
    found = check_budgets.functions(ast.parse(source), source, "a.py")
    assert "name it in EXCEPTIONS" in check_budgets.judge(found, {})[0]
    assert check_budgets.judge(found, {"a.py::f": "because"}) == ["1 exceptions among 1 functions; 3% at most"]
    assert check_budgets.judge(found * 50, {"a.py::f": "because"}) == []
    assert "no exception is needed" in check_budgets.judge(found * 50, {"a.py::f": "", "a.py::g": ""})[0]


def test_tables_do_not_count_towards_a_file():
    """601 lines are too many, unless a table makes them so."""
    table = "TABLE = frozenset({\n" + "    1,\n" * 600 + "})\n"
    assert check_budgets.over_length(ast.parse(table), table) == 0
    code = "x = 1\n" * 601
    assert check_budgets.over_length(ast.parse(code), code) == 1


def test_nested_functions_are_measured_too():
    """A function inside a method has its own place in the count."""
    source = textwrap.dedent("""
        class A:
            def b(self):
                def c(): pass
    """)
    names = [function.name for function in check_budgets.functions(ast.parse(source), source, "a.py")]
    assert names == ["a.py::A.b", "a.py::A.b.c"]


def test_every_module_imports_and_exports_what_it_names():
    """Each module can be imported without a warning, and `__all__` names only what is there."""
    for module in pkgutil.walk_packages(tailrace.__path__, "tailrace."):
        if NOT_IMPORTED.search(module.name):
            continue
        loaded = importlib.import_module(module.name)
        missing = [name for name in getattr(loaded, "__all__", ()) if not hasattr(loaded, name)]
        assert missing == [], module.name


def test_no_file_names_a_place_on_somebodys_machine():
    """Paths of a developer's machine belong in no file."""
    assert lines_with(re.compile("|".join(rf"(?<![\w.]){re.escape(path)}" for path in MACHINE_PATHS))) == []


def test_no_file_names_a_package_registry():
    """Where packages come from is each machine's own setting; we pin versions only."""
    assert lines_with(re.compile("|".join(map(re.escape, REGISTRIES)))) == []


def test_no_file_holds_a_secret():
    """Nothing that looks like a key, a token or a private key is in the repository."""
    assert lines_with(SECRETS) == []


def test_every_lint_excuse_gives_its_reason():
    """A `noqa` or `type: ignore` says which rule, and on the same line why."""
    bare = [
        f"{name}:{number}"
        for name, text in project_texts()
        if name.endswith(".py") and name != "tests/test_house.py"
        for number, line in enumerate(text.splitlines(), 1)
        if (excuse := EXCUSE.search(line)) and not excuse["reason"].strip(" #-:")
    ]
    assert bare == []


def test_constraints_hold_versions_only():
    """A constraint is `name==version`: no address, no hash, no path."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert pins
    assert [line for line in pins if not re.fullmatch(r"[\w.-]+==[\w.!+-]+( ; .+)?", line)] == []
