"""The size budgets: a function's body has at most 50 lines, a file at most 600, tables and docstrings aside.

At most 3 % of all functions may be exceptions, from this budget or from one of ruff's (complexity, statements,
nesting), and each is named in `EXCEPTIONS` with its reason. An exception that is no longer needed is an error too.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "bench", "scripts", "tests")
FUNCTION_LINES = 50
FILE_LINES = 600
EXCEPTION_SHARE = 0.03
# "path::function" -> why it is better long (or complex) than cut up.
EXCEPTIONS: dict[str, str] = {}

_RUFF_BUDGETS = ("C901", "PLR0915", "PLR1702")
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Function(NamedTuple):
    """A function as the budget sees it: `name` is "path::qualified.name", `lines` those of its body."""

    name: str
    line: int
    lines: int
    excused: bool


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of a body behind its docstring."""
    first = body[0]
    is_docstring = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_docstring else body


def body_lines(function: _Function) -> int:
    """How many lines a function's body takes, from its first statement to its last."""
    body = without_docstring(function.body)
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def functions(tree: ast.Module, source: str, path: str) -> list[Function]:
    """Every function of a module, nested ones too."""
    lines = source.splitlines()

    def walk(node: ast.AST, prefix: str) -> Iterator[Function]:
        for child in ast.iter_child_nodes(node):
            inner = prefix
            if isinstance(child, _Function):
                inner = f"{prefix}{child.name}"
                comment = lines[child.lineno - 1].partition("noqa")[2]
                excused = any(rule in comment for rule in _RUFF_BUDGETS)
                yield Function(f"{path}::{inner}", child.lineno, body_lines(child), excused)
                inner += "."
            elif isinstance(child, ast.ClassDef):
                inner = f"{prefix}{child.name}."
            yield from walk(child, inner)

    return list(walk(tree, ""))


def table_lines(tree: ast.Module) -> int:
    """How many lines of a module are tables: assignments of a literal collection, bare or wrapped in one call."""
    total = 0
    for node in tree.body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Call) and len(value.args) == 1:
            value = value.args[0]
        if isinstance(value, ast.Dict | ast.List | ast.Tuple | ast.Set):
            total += (node.end_lineno or 0) - node.lineno + 1
    return total


def over_length(tree: ast.Module, source: str) -> int:
    """By how many lines a file is over its budget; 0 where it is not."""
    return max(0, len(source.splitlines()) - table_lines(tree) - FILE_LINES)


def judge(found: list[Function], exceptions: dict[str, str]) -> list[str]:
    """What is wrong with these functions, one line each."""
    over = {function.name: function for function in found if function.lines > FUNCTION_LINES or function.excused}
    problems = [
        f"{name} (line {function.line}): {function.lines} lines; {FUNCTION_LINES} at most, or name it in EXCEPTIONS"
        for name, function in over.items()
        if name not in exceptions
    ]
    problems += [f"{name}: no exception is needed any more" for name in exceptions if name not in over]
    if len(exceptions) > EXCEPTION_SHARE * len(found):
        problems.append(f"{len(exceptions)} exceptions among {len(found)} functions; {EXCEPTION_SHARE:.0%} at most")
    return problems


def check(root: Path) -> list[str]:
    """Every breach of a budget under `root`, one line each."""
    problems: list[str] = []
    found: list[Function] = []
    for path in sorted(file for folder in FOLDERS for file in (root / folder).rglob("*.py")):
        name = path.relative_to(root).as_posix()
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source, name)
        found += functions(tree, source, name)
        if excess := over_length(tree, source):
            problems.append(f"{name}: {excess} lines over the {FILE_LINES} that a file may have")
    return problems + judge(found, EXCEPTIONS)


if __name__ == "__main__":
    breaches = check(ROOT)
    print(*breaches, sep="\n", end="\n" if breaches else "")
    sys.exit(bool(breaches))
