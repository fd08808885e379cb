"""`grep_files` and `file_search` on real trees, by ripgrep and without it."""

import asyncio
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.tools.builtin.search import file_search_with, grep_files_with
from tailrace.tools.fuzzy import score
from tailrace.tools.glob import matches
from tailrace.tools.policy import SandboxPolicy
from tailrace.tools.sandbox import Sandbox
from tailrace.tools.searching import Searcher, find_ripgrep
from tests.support.tools import Bench

RIPGREP = find_ripgrep()
ENGINES = pytest.mark.parametrize(
    "engine",
    [
        "python",
        pytest.param("ripgrep", marks=pytest.mark.skipif(RIPGREP is None, reason="ripgrep is not installed")),
        pytest.param(
            "sandbox",
            marks=pytest.mark.skipif(
                RIPGREP is None or shutil.which("bwrap") is None, reason="ripgrep or bubblewrap is not installed"
            ),
        ),
    ],
)


def bench(root: Path, engine: str) -> Bench:
    searcher = Searcher(
        Sandbox(SandboxPolicy(mode="required" if engine == "sandbox" else "off")),
        None if engine == "python" else RIPGREP,
    )
    return Bench(root, grep_files_with(searcher), file_search_with(searcher))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with what is ignored in several places, links out, and names and bytes of every kind."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "needle.txt").write_text("needle outside\n")
    (tmp_path / ".gitignore").write_text("*\n")  # above the workspace: none of its own
    root = tmp_path / "root"
    files = {
        "src/app/main.py": "import os\nneedle = 1\nprint(needle)\n",
        "src/app/util.ts": "const Needle = 2\n",
        "src/build/out.py": "needle in a build\n",
        "src/.gitignore": "build/\n*.log\n!keep.log\n[\n",
        "src/a.log": "needle\n",
        "src/keep.log": "needle kept\n",
        ".hidden/conf": "needle hidden\n",
        ".git/config": "needle in git\n",
        ".gitignore": "/top.txt\nnode_modules\n",
        "top.txt": "needle\n",
        "sub/top.txt": "needle sub\n",
        "node_modules/x/index.js": "needle\n",
        "binary.bin": "\0needle\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "src" / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"needle \xff\n")
    (root / "out").symlink_to("../outside")
    (root / "out.txt").symlink_to("../outside/needle.txt")
    return root


@ENGINES
async def test_lines_are_found_with_their_places(root, engine):
    """In the order of paths; what .gitignore files exclude, links and binaries are not searched."""
    answer = await bench(root, engine).call("grep_files", {"pattern": "needle", "mode": "lines"})
    assert answer.text.splitlines() == [
        ".hidden/conf:1: needle hidden",
        "src/app/main.py:2: needle = 1",
        "src/app/main.py:3: print(needle)",
        "src/caf\\udce9.txt:1: needle \\udcff",
        "src/keep.log:1: needle kept",
        "sub/top.txt:1: needle sub",
    ]


@ENGINES
async def test_files_are_found_the_last_changed_first(root, engine):
    """Each once; only so many."""
    os.utime(root / "sub" / "top.txt", (2_000_000_000, 2_000_000_000))
    os.utime(root / "src" / "keep.log", (1_900_000_000, 1_900_000_000))
    running = bench(root, engine)
    answer = await running.call("grep_files", {"pattern": "needle", "limit": 2})
    assert answer.text == "sub/top.txt\nsrc/keep.log\n(3 are left out.)"
    answer = await running.call("grep_files", {"pattern": "needle", "path": "src/app", "ignore_case": True})
    assert sorted(answer.text.splitlines()) == ["src/app/main.py", "src/app/util.ts"]


@ENGINES
@pytest.mark.parametrize(
    ("include", "found"),
    [
        ("*.py", ["src/app/main.py"]),
        ("*.{py,log}", ["src/app/main.py", "src/keep.log"]),
        ("src/*.log", ["src/keep.log"]),
        ("src/**/*.py", ["src/app/main.py"]),
        ("*.md", []),
    ],
)
async def test_only_some_files_are_searched(root, engine, include, found):
    """By their names or their paths; what .gitignore excludes stays so."""
    answer = await bench(root, engine).call("grep_files", {"pattern": "needle", "include": include})
    assert sorted(answer.text.splitlines()) == (found or ["Nothing matches."])
    assert answer.success


@ENGINES
async def test_a_pattern_that_is_none_is_said(root, engine):
    """With what the engine says of it."""
    answer = await bench(root, engine).call("grep_files", {"pattern": "(needle"})
    assert not answer.success
    assert "unclosed group" in answer.text or "unterminated subpattern" in answer.text


@ENGINES
@pytest.mark.parametrize("pattern", ["-needle", "--files", "--"])
async def test_a_pattern_is_never_an_option(root, engine, pattern):
    """Whatever it begins with."""
    running = bench(root, engine)
    assert (await running.call("grep_files", {"pattern": pattern})).text == "Nothing matches."
    assert (await running.call("grep_files", {"pattern": "needle", "include": pattern})).text == "Nothing matches."
    assert (await running.call("grep_files", {"pattern": "needle", "include": pattern})).text == "Nothing matches."


@ENGINES
async def test_c26_no_search_leads_out(root, engine):
    """Not in a folder that a link leads to, not by a path."""
    running = bench(root, engine)
    for path in ("out", "..", "/"):
        for name in ("grep_files", "file_search"):
            answer = await running.call(name, {"pattern": "needle", "path": path})
            assert answer.error == "outside_workspace"


@ENGINES
async def test_files_are_found_by_a_few_letters(root, engine):
    """The best first; ignored ones not at all; with `*`, those that are like it."""
    running = bench(root, engine)
    assert (await running.call("file_search", {"pattern": "mainpy"})).text == "src/app/main.py"
    assert (await running.call("file_search", {"pattern": "srcutl"})).text == "src/app/util.ts"
    assert (await running.call("file_search", {"pattern": "main", "path": "src"})).text == "src/app/main.py"
    assert (await running.call("file_search", {"pattern": "src/**/*.*"})).text.splitlines() == [
        "src/.gitignore", "src/app/main.py", "src/app/util.ts", "src/caf\\udce9.txt", "src/keep.log",
    ]  # fmt: skip
    answer = await running.call("file_search", {"pattern": "needle"})
    assert answer.text.endswith("files, none is like 'needle'.")
    answer = await running.call("file_search", {"pattern": "t", "limit": 1})
    assert answer.text.splitlines()[1].endswith("are left out.)")


@pytest.mark.slow
async def test_a_search_that_takes_for_ever_is_ended(tmp_path):
    """A regular expression that backtracks without end: its process is ended, and the loop was free meanwhile."""
    (tmp_path / "f").write_text("a" * 40 + "b\n")
    running = bench(tmp_path, "python")
    call = asyncio.ensure_future(running.call("grep_files", {"pattern": "(a+)+$"}))
    await asyncio.sleep(1.0)
    assert not call.done()
    began = time.monotonic()
    running.cancel.set()
    assert (await call).error == "cancelled"
    assert time.monotonic() - began < 2.0


@ENGINES
async def test_a_search_that_finds_too_much_is_cut(tmp_path, engine):
    """What was found until then is told, and that there is more."""
    for number in range(9):
        (tmp_path / f"f{number}").write_text(("x" * 2500 + "\n") * 1000)
    answer = await bench(tmp_path, engine).call("grep_files", {"pattern": "x", "mode": "lines", "limit": 2000})
    assert answer.success
    assert answer.text.startswith("f0:1: xxx")
    assert "left out" in answer.text


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.py", "a.py", True),
        ("*.py", "x/y/a.py", True),
        ("*.py", "a.pyc", False),
        ("x/*.py", "x/a.py", True),
        ("x/*.py", "x/y/a.py", False),
        ("/a.py", "a.py", True),
        ("/a.py", "x/a.py", False),
        ("**/a.py", "a.py", True),
        ("x/**/a.py", "x/a.py", True),
        ("x/**/a.py", "x/y/z/a.py", True),
        ("x/**", "x/y/z", True),
        ("a?.{py,ts}", "ab.ts", True),
        ("a?.{py,ts}", "a.ts", False),
        ("{a,b}{c,d}", "bd", True),
        ("[ab]", "[ab]", True),
        ("*" * 50 + "b", "a" * 200, False),
        ("**/" * 30 + "b", "a/" * 200 + "a", False),
    ],
)
def test_patterns_for_paths(pattern, path, fits):
    """As shells and .gitignore have them; never slow."""
    assert matches(pattern, path) is fits


@settings(deadline=None)
@given(st.text("ab*?", min_size=1, max_size=8), st.text("ab", max_size=8))
def test_a_pattern_fits_what_a_regular_expression_made_of_it_fits(pattern, name):
    """An independent check, where it is cheap."""
    expected = re.fullmatch(pattern.replace("?", ".").replace("*", ".*"), name)
    assert matches(pattern, name) is (expected is not None)


def test_better_places_score_higher():
    """The name before its folders, words' starts before their middles, together before apart, short before long."""
    ranked = [
        "src/tool_context.py",
        "src/deep/down/tool_context.py",
        "src/stool_context.py",
        "tool/x/con/text.py",
    ]
    assert sorted(ranked, key=lambda path: -(score("toolcon", path) or 0)) == ranked
    assert score("toolx", "src/tools.py") is None
    assert score("context tool", "src/tool_context.py") is not None
    assert score("TC", "src/toolContext.py") > score("TC", "src/stack.py")
