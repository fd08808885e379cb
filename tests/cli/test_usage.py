"""Help, exit codes, and what goes wrong before anything begins."""

import pytest

COMMANDS = [
    ["serve"], ["migrate"], ["gc"], ["run"], ["tail"], ["cancel"], ["approve"], ["deny"], ["threads", "list"],
    ["threads", "show"], ["threads", "delete"], ["runs", "list"], ["runs", "show"], ["decode"], ["encode"], ["lint"],
    ["doctor"],
]  # fmt: skip
HEAVY = ("aiohttp", "litestar", "sqlalchemy", "uvicorn", "tailrace.app", "rich.markdown", "structlog", "opentelemetry")


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
async def test_each_commands_help_has_an_example(cli, command):
    """The help teaches: an example that can be typed, no colours into a pipe."""
    ended = await cli(*command, "--help", COLUMNS="120")
    assert (ended.code, ended.err) == (0, "")
    assert " ".join(["tailrace", *command]) in ended.out.split("Usage:")[1].split("\n", 1)[1]
    assert "\x1b" not in ended.out


async def test_help_lists_the_commands_and_has_colours_in_a_terminal_only(terminal):
    """Colours where a terminal shows them; with NO_COLOR, none."""
    coloured = await terminal("--help")
    plain = await terminal("--help", NO_COLOR="1")
    assert "\x1b[36m" in coloured.out or "\x1b[1;36m" in coloured.out
    assert "\x1b[36m" not in plain.out
    assert "\x1b[1;36m" not in plain.out
    for command in COMMANDS:
        assert command[0] in plain.out


async def test_an_error_is_coloured_in_a_terminal_only(terminal):
    """The one line on stderr follows the same rule."""
    for environ, mark in (
        ({}, "\x1b[31mtailrace:\x1b[0m "),
        ({"NO_COLOR": "1"}, "tailrace: "),
        ({"TERM": "dumb"}, "t"),
    ):
        ended = await terminal("decode", "--wire", "openai-responses", "nowhere", **environ)
        assert ended.code == 1
        assert ended.out.startswith(mark)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["decode", "--wire", "smoke-signals", "x"], "smoke-signals"),
        (["decode", "--wire", "openai-responses"], "FILE"),
        (["decode", "x"], "--wire"),
        (["decode", "--wire", "openai-responses", "--chunk", "0", "x"], "--chunk"),
        (["encode", "--dialect", "latin"], "latin"),
        (["lint", "--dialect", "latin"], "latin"),
        (["tail", "run_1", "--dialect", "latin"], "latin"),
        (["tail", "run_1", "--after", "-1"], "--after"),
        (["run"], "PROMPT"),
        (["serve", "--port", "65536"], "--port"),
        (["threads", "list", "--limit", "0"], "--limit"),
        (["dance"], "dance"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
async def test_wrong_usage_is_2_and_named(cli, arguments, said):
    """Nothing on stdout; stderr names what is wrong."""
    ended = await cli(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (["run", "hello", "--url", "http://127.0.0.1:1"], b"", "cannot be reached"),
        (["run", "hello", "--url", "nonsense"], b"", "nonsense cannot be reached"),
        (["run", "-"], b"\xff", "not UTF-8"),
        (["lint", "http://127.0.0.1:1/x"], b"", "cannot be reached"),
        (["lint", "http://exa..mple/"], b"", "cannot be reached"),
        (["decode", "--wire", "openai-responses", "nowhere.sse"], b"", "nowhere.sse: No such file"),
        (["decode", "--wire", "openai-responses", "."], b"", "Is a directory"),
        (["encode", "--dialect", "native"], b'\n{"seq": 1}\n', "line 2: "),
        (["encode", "--dialect", "native"], b"garbage\n", "line 1: "),
        (["doctor", "--url", "http://127.0.0.1:1"], b"", "start it with `tailrace serve`"),
        (["migrate", "--data", "/proc/nowhere"], b"", "/proc/nowhere"),
        (["serve", "--config", "nowhere.toml"], b"", "nowhere.toml: cannot be read"),
        (["serve", "--config", "nowhere" + "." * 60 + "[red]x[/red].toml"], b"", "[red]x[/red].toml: cannot be read: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
async def test_a_failure_is_1_with_its_reason_in_one_line(cli, arguments, stdin, said):
    """Never a traceback, however long the line is, and with nothing in it taken for markup."""
    ended = await cli(*arguments, stdin=stdin)
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert line.startswith("tailrace: ")
    assert said in line


@pytest.mark.parametrize("arguments", [["--help"], ["decode", "--wire", "openai-responses", "/dev/null"]])
async def test_light_commands_import_nothing_heavy(cli, arguments):
    """What takes a second to import is left to the commands that need it."""
    ended = await cli(*arguments, PYTHONPROFILEIMPORTTIME="1")
    assert ended.code == 0
    imported = {line.rsplit("|", 1)[1].strip() for line in ended.err.splitlines() if line.startswith("import time:")}
    assert "tailrace.cli.main" in imported
    heavy = HEAVY if arguments != ["--help"] else tuple(name for name in HEAVY if not name.startswith("rich"))
    assert not imported & set(heavy)
