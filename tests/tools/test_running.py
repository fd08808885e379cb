"""Whatever a tool does, its call has one answer, within its limits."""

import asyncio
import threading
import time

import pytest
from structlog.testing import capture_logs

from tailrace.schema import codec
from tailrace.schema.items import FunctionCallItem, ImagePart
from tailrace.tools import Limits, ToolContext, ToolFailed, ToolResult, tool
from tailrace.tools.running import bind
from tests.support.tools import Bench


async def test_c23_what_a_tool_raises_is_no_success(tmp_path):
    """ToolFailed says why; of anything else only the kind is told: its words may hold a secret (rule 9)."""

    @tool
    def lookup(key: str) -> str:
        """Look it up."""
        if key == "said":
            raise ToolFailed("there is no such city")
        raise RuntimeError("https://user:hunter2@example.com/")

    bench = Bench(tmp_path, lookup)
    said = await bench.call("lookup", {"key": "said"})
    assert (said.text, said.success, said.error) == ("there is no such city", False, "tool_failed")
    with capture_logs() as logs:
        crashed = await bench.call("lookup", {"key": "other"})
    assert (crashed.success, crashed.error) == (False, "tool_crashed")
    assert crashed.text == "lookup failed unexpectedly (RuntimeError)."
    assert [(entry["event"], entry["tool"], entry["error"]) for entry in logs] == [
        ("tool crashed", "lookup", "RuntimeError")
    ]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("raised", [SystemExit, StopIteration, asyncio.CancelledError, KeyError])
async def test_nothing_that_a_tool_raises_ends_more_than_its_call(tmp_path, raised, is_async):
    """Not even what would end a loop, a generator or a task."""

    def thread() -> None:
        """Raise."""
        raise raised

    async def task() -> None:
        """Raise."""
        raise raised

    made = tool(name="bad")(task if is_async else thread)
    answer = await Bench(tmp_path, made).call("bad")
    assert (answer.success, answer.error) == (False, "tool_crashed")


async def test_an_unknown_tool_is_answered_with_those_that_there_are(tmp_path):
    """The model can do better then."""
    answer = await Bench(tmp_path, _slow()).call("slwo")
    assert (answer.success, answer.error) == (False, "unknown_tool")
    assert answer.text == "There is no tool 'slwo'. There are: slow."


def _slow(timeout_s: float = 60.0, **limits):
    @tool(limits=Limits(timeout_s=timeout_s, **limits))
    async def slow(context: ToolContext) -> str:
        """Take for ever."""
        context.emit("so far")
        await asyncio.Event().wait()
        return "never"

    return slow


async def test_c24_a_time_out_keeps_what_was_said(tmp_path):
    """The tool is stopped; the answer has its output until then."""
    answer = await Bench(tmp_path, _slow(0.1)).call("slow")
    assert (answer.success, answer.error) == (False, "timeout")
    assert answer.text == "Given up after 0.1 s.\n\nIts output until then:\nso far"


async def test_c14_a_cancelled_call_is_answered_within_a_second(tmp_path):
    """`cancel` is set while it runs: the tool ends, and the answer has what it had said."""
    bench = Bench(tmp_path, _slow())
    running = asyncio.ensure_future(bench.call("slow"))
    while not bench.streamed:
        await asyncio.sleep(0)
    began = time.monotonic()
    bench.cancel.set()
    answer = await running
    assert time.monotonic() - began < 2.0  # a second, and what a busy machine adds
    assert (answer.text, answer.error) == ("Cancelled.\n\nIts output until then:\nso far", "cancelled")


async def test_the_runners_own_cancellation_stops_the_tool_first(tmp_path):
    """The worker is told to stop: the tool's clean-up is done when the call's task ends."""
    ended = []

    @tool
    async def careful(context: ToolContext) -> None:
        """Clean up behind oneself."""
        context.emit("begun")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.append(True)

    bench = Bench(tmp_path, careful)
    running = asyncio.ensure_future(bench.call("careful"))
    while not bench.streamed:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == [True]


async def test_a_thread_that_asks_is_stopped(tmp_path):
    """A function without `async` ends at its next `check`."""
    seen = []

    @tool
    def patient(context: ToolContext) -> None:
        """Wait."""
        context.emit("begun")
        try:
            while True:
                context.check()
                time.sleep(0.005)
        except Exception as error:
            seen.append(type(error).__name__)
            raise

    bench = Bench(tmp_path, patient)
    running = asyncio.ensure_future(bench.call("patient"))
    while not bench.streamed:
        await asyncio.sleep(0.001)
    bench.cancel.set()
    assert (await running).text == "Cancelled.\n\nIts output until then:\nbegun"
    assert seen == ["ToolCancelled"]


@pytest.mark.slow
async def test_a_thread_that_hangs_is_given_up_and_keeps_its_place(tmp_path):
    """It cannot be stopped: the answer says so in time, and the tool's limit of parallel calls still counts it."""
    let_go, calls = threading.Event(), []

    @tool(limits=Limits(timeout_s=0.1, parallel=1))
    def stuck() -> None:
        """Hang."""
        calls.append(True)
        let_go.wait(30)

    bench = Bench(tmp_path, stuck)
    began = time.monotonic()
    answer = await bench.call("stuck")
    assert time.monotonic() - began < 3.0
    assert answer.text == "Given up after 0.1 s. It does not stop, and may still have effects."
    second = asyncio.ensure_future(bench.call("stuck"))
    await asyncio.sleep(0.05)
    assert calls == [True]
    let_go.set()
    await second
    assert calls == [True, True]


async def test_calls_beyond_a_tools_limit_wait(tmp_path):
    """`parallel` of them run at a time; one that is cancelled while it waits was never run."""
    running, most, go_on = 0, 0, asyncio.Event()

    @tool(limits=Limits(parallel=2))
    async def counted() -> None:
        """Count."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go_on.wait()
        running -= 1

    bench = Bench(tmp_path, counted)
    calls = [asyncio.ensure_future(bench.call("counted")) for _ in range(5)]
    while running < 2:
        await asyncio.sleep(0)
    item = FunctionCallItem(id="i", name="counted", arguments="", call_id="c2")
    cancel = asyncio.Event()
    late = asyncio.ensure_future(
        bench.runner.run(bind(bench.toolset, item), run_id="r", emit=bench.streamed.append, cancel=cancel)
    )
    await asyncio.sleep(0.01)
    cancel.set()
    assert (await late).text == "Cancelled before it was run."
    go_on.set()
    assert all(answer.success for answer in await asyncio.gather(*calls))
    assert most == 2


async def test_c46_a_long_output_is_kept_whole_and_shown_in_part(tmp_path):
    """The model sees the first and last lines, and where the rest is."""
    lines = [f"line {number}" for number in range(10_000)]

    @tool(limits=Limits(output_bytes=1000))
    def long() -> ToolResult:
        """Say much."""
        return ToolResult(text="\n".join(lines), success=False, parts=[ImagePart(url="data:,")], error="too_bad")

    bench = Bench(tmp_path, long)
    answer = await bench.call("long")
    assert bench.shelf.kept == {"r1/c1": "\n".join(lines).encode()}
    assert answer.text.startswith("line 0\nline 1\n")
    assert answer.text.endswith("\nline 9998\nline 9999")
    assert "left out here; all of it is kept as r1/c1 …]" in answer.text
    assert len(answer.text) < 1200
    assert (answer.success, answer.parts, answer.error) == (False, [ImagePart(url="data:,")], "too_bad")


async def test_an_output_that_cannot_be_kept_is_still_an_answer(tmp_path):
    """The call's effect has happened; the log line says that its output is lost."""

    class Full:
        async def keep(self, run_id, call_id, data):
            raise OSError("no space")

    bench = Bench(tmp_path, tool(name="long")(_long))
    bench.runner.spill = Full()
    with capture_logs() as logs:
        answer = await bench.call("long")
    assert answer.success
    assert "left out here …]" in answer.text
    assert [(entry["event"], entry["error"]) for entry in logs] == [("output not kept", "OSError")]


def _long() -> str:
    """Say much."""
    return "x" * 100_000


async def test_what_is_streamed_is_gathered_bounded_and_in_order(tmp_path):
    """A tool that says a word at a time, from its thread, makes few events; over its limit, nothing more."""

    @tool(limits=Limits(output_bytes=1000))
    def chatty(context: ToolContext) -> str:
        """Say much, a word at a time."""
        for number in range(10_000):
            context.emit(f"{number} ")
        return "done"

    bench = Bench(tmp_path, chatty)
    assert (await bench.call("chatty")).text == "done"
    text = "".join(bench.streamed)
    assert text.startswith("0 1 2 3 ")
    assert text.endswith("\n[… more output follows, which is not streamed …]\n")
    assert len(text) < 1100
    assert len(bench.streamed) < 50


async def test_text_that_is_no_utf_8_becomes_text_that_is(tmp_path):
    """A name on disk may be any bytes: what is streamed and answered can always be written as JSON."""

    @tool
    def names(context: ToolContext) -> str:
        """Say a name."""
        context.emit("a\udcffb")
        return "a\udcffb"

    bench = Bench(tmp_path, names)
    answer = await bench.call("names")
    assert codec.encode([answer.text, *bench.streamed]) == b'["a\\\\udcffb","a\\\\udcffb"]'
