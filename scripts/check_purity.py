"""Floors 0 to 2 are pure, and JSON has one door (design: the house).

Pure means: no `async`, no clock, no randomness, no environment, no I/O. import-linter catches what is imported by name;
this check also sees calls, and what hides in the standard library.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "tailrace"
RUNS = ("runs/step.py", "runs/branches.py", "runs/history.py", "runs/recovery.py")
PURE = ("schema", "wire", "fold", "adapters", "dialects", *RUNS)
JSON_DOOR = "schema/codec.py"
LOCK = (
    f"{JSON_DOOR}: import of threading.Lock"  # msgspec learns a type once: in one thread, or it reads where nothing is
)

IMPURE_MODULES = {
    "aiohttp", "anyio", "asyncio", "concurrent", "contextvars", "fileinput", "glob", "http", "io",
    "litestar", "logging", "multiprocessing", "os", "pathlib", "queue", "random", "redis", "sched", "secrets",
    "select", "selectors", "shutil", "signal", "socket", "sqlalchemy", "sqlite3", "ssl", "structlog", "subprocess",
    "sys", "tempfile", "threading", "time", "uvicorn", "uvloop", "warnings",
}  # fmt: skip
IMPURE_CALLS = {"breakpoint", "exec", "eval", "input", "open", "print"}
# Attributes that are a clock or a die wherever they come from: datetime.now(), date.today(), uuid.uuid4().
IMPURE_ATTRIBUTES = {"now", "today", "utcnow", "uuid1", "uuid4"}
JSON_MODULES = {"json", "msgspec.json", "orjson", "simplejson", "ujson"}
_ASYNC = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)


def imported(node: ast.AST) -> list[str]:
    """The dotted names that an import statement names: `from a import b` may mean a module `a.b`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def impurities(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """What a pure module may not hold: (line, what it is)."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, _ASYNC) or (isinstance(node, ast.comprehension) and node.is_async):
            yield line, "async"
        elif isinstance(node, ast.Attribute) and node.attr in IMPURE_ATTRIBUTES:
            yield line, f".{node.attr}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            yield line, f"{node.func.id}()"
        for name in imported(node):
            if name.partition(".")[0] in IMPURE_MODULES or name.rpartition(".")[2] in IMPURE_ATTRIBUTES:
                yield line, f"import of {name}"


def json_doors(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Where a module reaches for JSON itself: (line, how)."""
    for node in ast.walk(tree):
        for name in imported(node):
            if name in JSON_MODULES or name.rpartition(".")[0] in JSON_MODULES:
                yield node.lineno, f"import of {name}"  # type: ignore[attr-defined]  # `imported` knows imports only
        if isinstance(node, ast.Attribute) and node.attr == "json" and ast.unparse(node.value) == "msgspec":
            yield node.lineno, "msgspec.json"


def is_pure(name: str) -> bool:
    """Does this file, named from the package on, stand on floors 0 to 2?"""
    return any(name == room or name.startswith(f"{room}/") for room in PURE)


def check(package: Path) -> list[str]:
    """Every breach under `package`, one line each."""
    problems: list[str] = []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"), name)
        if is_pure(name):
            found = [(line, what) for line, what in impurities(tree) if f"{name}: {what}" != LOCK]
            problems += [f"{name}:{line}: {what}, on a pure floor" for line, what in found]
        if name != JSON_DOOR:
            problems += [f"{name}:{line}: {what}; JSON goes through {JSON_DOOR}" for line, what in json_doors(tree)]
    return problems


if __name__ == "__main__":
    breaches = check(PACKAGE)
    print(*breaches, sep="\n", end="\n" if breaches else "")
    sys.exit(bool(breaches))
