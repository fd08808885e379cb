"""What no provider at hand would say, written into a real log: approvals, every type of item, and what means harm."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tailrace.schema import codec
from tailrace.schema.events import (
    ApprovalRequested,
    ItemCancelled,
    ItemDelta,
    ItemError,
    ItemStart,
    Payload,
    ProviderEvent,
    ScriptExecutionStart,
)
from tailrace.schema.items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    MessageItem,
    OperationRecord,
    ProviderItem,
    ReasoningItem,
    RefusalPart,
    ScriptExecutionItem,
    ScriptExecutionOutputItem,
    TextPart,
)
from tailrace.schema.response import ErrorInfo, Question
from tailrace.testing.moves import Cut, Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.page.conftest import Open
from tests.page.logs import Written, whole
from tests.page.watched import Watched, say
from tests.support.server import Served, serving, settings

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
PATCH = "*** Begin Patch\n*** Update File: river.py\n@@ def flow():\n-    return 1\n+    return 2\n*** End Patch"


@pytest_asyncio.fixture(loop_scope="module")
async def served(tmp_path: Path, provider: ScriptedUpstream) -> AsyncIterator[Served]:
    """A server whose log the test may write."""
    async with serving(settings(tmp_path / "data", provider), provider) as running:
        yield running


def a_call(item_id: str, name: str, arguments: str) -> FunctionCallItem:
    return FunctionCallItem(id=item_id, name=name, arguments=arguments, call_id=f"call_{item_id}")


async def test_an_approval_is_asked_decided_and_told(served: Served, opened: Open, shots: Path):
    """What exactly is asked; the decision is posted once, with its reason; what became of it comes as an event."""
    run = await asking(served, "approvals")
    page = await opened(run.address)
    question = page.page.get_by_role("group", name="Approval")
    await expect(question).to_contain_text("May it run shell?")
    await expect(question).to_contain_text("rm -rf build")
    await expect(question).to_contain_text("It deletes files.")
    await page.page.screenshot(path=shots / "approval.png")
    await page.check_access()
    await page.page.reload()  # who waits is known from the log, however far a snapshot has come
    await expect(question).to_be_visible()
    await question.get_by_role("textbox").fill("not my files")
    async with page.page.expect_request(re.compile("/approvals/")) as sent:
        await question.get_by_role("button", name="Deny").click()
    request = await sent.value
    assert request.url == f"{served.url}/api/v2/runs/approvals/approvals/ap1"
    assert request.post_data_json == {"decision": "denied", "reason": "not my files"}
    await expect(page.page.locator(".decided.denied")).to_have_text("Denied by user: not my files")
    await page.page.get_by_role("button", name="Send as a failure").click()  # the call is the client's, in this log
    await page.ended()  # with an error: there is no provider of this name
    await page.page.reload()  # now from the snapshot
    await expect(page.page.locator(".decided.denied")).to_have_text("Denied by user: not my files")
    await expect(question).to_have_count(0)


async def test_an_approval_may_hold_for_the_whole_run(served: Served, opened: Open):
    """The decision says so, and no reason."""
    page = await opened((await asking(served, "longer")).address)
    question = page.page.get_by_role("group", name="Approval")
    async with page.page.expect_request(re.compile("/approvals/ap1")) as sent:
        await question.get_by_role("button", name="Approve for this run").click()
    assert (await sent.value).post_data_json == {"decision": "approved_for_run"}
    await expect(page.page.locator(".decided.approved_for_run")).to_have_text("Approved for this run by user")


async def test_a_question_is_a_form(served: Served, opened: Open, shots: Path):
    """Every kind of field; what is left empty is left out, and a wrong answer is told where it was given."""
    run = await Written(served, "question").begin()
    call = a_call("c1", "files__ask", "{}")
    fields = {
        "name": {"type": "string", "title": "Your name", "minLength": 2},
        "count": {"type": "integer", "minimum": 1, "maximum": 9, "description": "How many"},
        "sure": {"type": "boolean", "default": True},
        "kind": {"type": "string", "oneOf": [{"const": "a", "title": "First"}, {"const": "b", "title": "Second"}]},
        "colours": {"type": "array", "items": {"type": "string", "enum": ["red", "green", "blue"]}},
        "site": {"type": "string", "format": "uri"},
    }
    form = {"type": "object", "properties": fields, "required": ["name"]}
    asked = ApprovalRequested(
        approval_id="q1", item_id="c1", tool="files__ask", arguments="{}", reason="Who are you?",
        expires_at=served.services.now() + 300_000, question=Question(message="Who are you?", schema=form),
    )  # fmt: skip
    output = ItemStart(item_id="o1", item_type="function_call_output", call_id="call_c1", origin="tool_harness")
    await run.append(*whole(call), output, asked)
    page = await opened(run.address)
    question = page.page.get_by_role("form", name="Question")
    await expect(question).to_contain_text("Who are you?")
    await page.page.screenshot(path=shots / "question.png")
    await page.check_access()
    await question.get_by_label("Your name").fill("Ada")
    await question.get_by_label("count").fill("7")
    await question.get_by_label("kind").select_option("Second")
    await question.get_by_label("colours").select_option(["red", "blue"])
    async with page.page.expect_request(re.compile("/approvals/q1")) as sent:
        await question.get_by_role("button", name="Answer").click()
    content = {"name": "Ada", "count": 7, "sure": True, "kind": "b", "colours": ["red", "blue"]}
    assert (await sent.value).post_data_json == {"decision": "approved", "content": content}


async def asking(served: Served, run_id: str) -> Written:
    """A run whose call waits for a person."""
    run = await Written(served, run_id).begin()
    call = a_call("c1", "shell", '{"command": ["rm", "-rf", "build"]}')
    asked = ApprovalRequested(
        approval_id="ap1", item_id="c1", tool="shell", arguments=call.arguments, reason="It deletes files.",
        expires_at=served.services.now() + 300_000,
    )  # fmt: skip
    await run.append(*whole(call), asked)
    return run


def gallery() -> list[Payload]:
    """An item of every type, as a run would have it."""
    search = {
        "status": "completed",
        "action": {"queries": ["rivers of Europe"], "sources": [{"url": "https://a.example/x"}]},
    }
    script = ScriptExecutionOutputItem(
        id="so", script_id="s", result='{"n": 2}', success=True, logs=["counting"],
        operations=[OperationRecord(tool="list_dir", arguments={"path": "."}, success=True, duration_ms=12)],
    )  # fmt: skip
    note = {"type": "url_citation", "url": "https://b.example/rivers", "title": "Rivers"}
    return [
        *whole(
            ReasoningItem(id="r", content="A thought."),
            a_call("patch", "apply_patch", codec.encode({"input": PATCH}).decode()),
            FunctionCallOutputItem(id="po", call_id="call_patch", output="Done", success=True),
            a_call("cmd", "shell", '{"command": "make test"}'),
            FunctionCallOutputItem(id="co", call_id="call_cmd", output="\x1b[31m1 failed\x1b[0m\n", success=False),
            ScriptExecutionItem(id="s", code="print(2)", language="python"),
            script,
            ProviderItem(id="w", provider_type="web_search_call", data=search),
            ProviderItem(id="g", provider_type="image_generation_call", data={"result": PNG, "output_format": "png"}),
            ProviderItem(
                id="i", provider_type="code_interpreter_call", data={"code": "1+1", "outputs": [{"logs": "2"}]}
            ),
            ProviderItem(id="u", provider_type="quantum_call", data={"qubits": 3}),
            ProviderItem(id="k1", provider_type="compaction", data={}, text="They spoke of **rivers**."),
            ProviderItem(id="k2", provider_type="compaction", data={"encrypted_content": "c2VhbGVk"}),
            MessageItem(id="m", content="Cited.", parts=[TextPart(text="Cited.", annotations=[note])]),
            MessageItem(id="no", content="I will not.", parts=[RefusalPart(refusal="I will not.")]),
        ),
        ScriptExecutionStart(item_id="s", code="print(2)"),
        ItemStart(item_id="e", item_type="message"),
        ItemDelta(item_id="e", delta_content="as far as it came"),
        ItemError(item_id="e", error=ErrorInfo(code="overloaded", message="try later")),
        ItemStart(item_id="x", item_type="function_call", name="slow_tool", call_id="cx", arguments='{"a'),
        ItemCancelled(item_id="x", reason="called off"),
        ProviderEvent(provider_id="tailrace", name="STREAM_SEQUENCE_ERROR:item_delta", data={}),
    ]


async def test_every_type_of_item_has_a_picture(served: Served, opened: Open, shots: Path):
    """Patches, commands, scripts, searches, images, code, refusals, sources, what failed and what was called off."""
    run = await Written(served, "gallery").begin()
    await run.append(*gallery())
    await run.end()
    page = await opened(run.address)
    region = page.page.get_by_role("region")
    await expect(page.page.locator(".diff .added")).to_contain_text("return 2")
    await expect(page.page.locator(".ansi-red")).to_have_text("1 failed")
    await expect(region.filter(has_text="Script").first).to_contain_text("list_dir")
    await page.page.get_by_role("button", name=re.compile("^Searched the web")).click()
    await expect(page.page.get_by_role("region", name="Searched the web")).to_contain_text("https://a.example/x")
    await expect(page.page.get_by_alt_text("made by the provider")).to_be_visible()
    await expect(page.page.get_by_role("region", name="Ran code")).to_contain_text("1+1")
    await page.page.get_by_role("button", name=re.compile("^quantum call")).click()
    unknown = page.page.get_by_role("region", name="quantum call")
    await unknown.get_by_role("button", name="JSON").click()
    await expect(unknown).to_contain_text('"qubits": 3')
    for head in await page.page.get_by_role("button", name=re.compile("^Earlier conversation summed up")).all():
        await head.click()
    compacted = page.page.get_by_role("region", name="Earlier conversation summed up")
    await expect(compacted.first.locator("strong")).to_have_text("rivers")
    await expect(compacted.last).to_contain_text("The summary is not readable")
    await expect(page.page.get_by_label("Sources")).to_contain_text("Rivers")
    await expect(page.page.locator(".broken.error")).to_contain_text("as far as it came")
    await expect(page.page.locator(".broken.cancelled")).to_contain_text("slow_tool")
    await expect(page.page.locator(".foot")).to_contain_text("$0.0042")
    await expect(page.page.locator(".foot")).to_contain_text("8 cached")
    await page.page.set_viewport_size({"width": 1280, "height": 2600})
    await page.page.screenshot(path=shots / "gallery.png")
    await page.check_access()


async def test_what_was_tried_again_is_told(provider: ScriptedUpstream, opened: Open, tmp_path: Path):
    """An answer that breaks off is asked for once more: in the timeline, why, and the step that failed."""
    provider.enqueue([Text("Half of "), Cut()], [Text("All of it.")])
    async with serving(settings(tmp_path / "data", provider, upstream={"restarts": 1}), provider) as served:
        page = await opened(served.url)
        await page.say("all of it, please")
        await page.ended()
        await expect(page.answer).to_contain_text("All of it.")
        await expect(page.page.locator(".broken.cancelled")).to_contain_text("Half of")
        await page.press("l")
        await page.page.get_by_role("tab", name="Timeline").click()
        notes = page.page.locator(".notes")
        await expect(notes).to_contain_text(re.compile("asked again after try 1: stream_interrupted: ."))
        await expect(notes).to_contain_text("step 1 ended in an error")
        await expect(page.page.locator(".bar-row.step.failed")).to_contain_text("Step 1")
        scale = page.page.get_by_role("img", name="silences: 0, retries: 1, failed steps: 1")
        await expect(scale.locator(".mark.retry")).to_have_count(1)


HARM = """<script>alert(1)</script><img src=x onerror="alert(2)"><iframe srcdoc="<script>alert(3)</script>"></iframe>
<svg onload="alert(4)"></svg><style>body{display:none}</style><form action="https://evil.example"><button>x</button></form>

[click](javascript:alert(5)) [data](data:text/html,<script>alert(6)</script>) [fine](https://good.example/)
<a href="&#106;avascript:alert(7)" style="position:fixed" class="toast" id="app">seven</a>
![pixel](https://evil.example/pixel.png)

```html
<script>alert(8)</script>
```

| broken | table
|---
**unclosed _everything `and [more](
"""


LEFT = """() => {
    const all = (selector) => [...document.querySelectorAll(selector)];
    return {
        tags: all(".column script, .column iframe, .column style, .column form, .column svg[onload]").length,
        acts: all("*").flatMap((node) => node.getAttributeNames()).filter((name) => name.startsWith("on")),
        links: all(".column a").map((a) => a.getAttribute("href"))
            .filter((href) => href && !/^https?:/.test(href) && !href.startsWith("#/threads/")),
        posed: all(".column .toast, .column #app, .column [style]").length,
        images: all(".column img").length,
    };
}"""


async def test_what_means_harm_does_none(served: Served, opened: Open):
    """Scripts, events, styles, frames, forms and foreign pictures; in messages, outputs, names and titles alike."""
    run = await Written(served, "harm").begin()
    action = {"query": HARM, "sources": [{"url": "javascript:alert(9)", "title": HARM}]}
    searched = {"action": action, "result": "javascript:" + "a" * 50}
    await served.services.store.update_thread(run.thread_id, {"title": HARM, "tags": ["<b>tag</b>"]}, 1)
    await run.append(
        *whole(
            MessageItem(id="m", content=HARM),
            ReasoningItem(id="r", content=HARM),
            a_call("c", HARM[:60], HARM),
            FunctionCallOutputItem(id="o", call_id="call_c", output=HARM, success=True),
            ProviderItem(id="p", provider_type="web_search_call", data=searched),
            MessageItem(id="a", content="x", parts=[TextPart(text="x", annotations=[{"url": "javascript:alert(10)"}])]),
        )
    )  # fmt: skip
    await run.end()
    page = await opened(run.address)
    await expect(page.answer).to_contain_text("x")
    await page.page.evaluate(
        "document.querySelectorAll('.card .head[aria-expanded=false]').forEach((head) => head.click())"
    )
    await expect(page.page.locator(".card .head[aria-expanded=false]")).to_have_count(0)
    await expect(page.page.locator(".prose a", has_text="fine").first).to_have_attribute("rel", re.compile("noopener"))
    left = await page.page.evaluate(LEFT)
    assert left == {"tags": 0, "acts": [], "links": [], "posed": 0, "images": 0}
    await expect(page.page.locator(".said .prose").first).to_contain_text("<script>alert(1)</script>")
    await expect(page.page.locator(".prose figure.code").first).to_contain_text("<script>alert(8)</script>")
    assert (await page.page.title()).startswith("<script>")


async def longest_frame(page: Watched) -> float:
    """How long the page's thread was busy at most, over a few frames, in milliseconds."""
    return float(
        await page.page.evaluate("""async () => {
        let worst = 0;
        for (let frame = 0; frame < 10; frame += 1) {
            const before = performance.now();
            await new Promise(requestAnimationFrame);
            worst = Math.max(worst, performance.now() - before);
        }
        return worst;
    }""")
    )


async def test_much_of_it_and_strange_scripts(served: Served, opened: Open, shots: Path):
    """A code block of 1 MB, an output of 5 MB, right to left, emoji: shown, folded, and the page stays awake."""
    run = await Written(served, "much").begin()
    code = (
        "```python\n"
        + "x = 1  # a line of code that is some eighty characters long, or thereabouts\n" * 13_500
        + "```\n"
    )
    line = "2026-11-28 12:00:00 INFO a line of a log that goes on for quite a while, as they do\n"
    await run.append(
        *whole(
            MessageItem(
                id="rtl", content="# مرحبا بالعالم\n\n\u05e9\u05dc\u05d5\u05dd 👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301 \u202eevil\u202c"
            ),
            a_call("c", "cat", '{"path": "log"}'),
            FunctionCallOutputItem(id="o", call_id="call_c", output=line * 62_500, success=True),
        ),
        ItemStart(item_id="m", item_type="message"),
        ItemDelta(item_id="m", delta_content=code[: len(code) // 2]),
    )
    page = await opened(run.address)
    await expect(page.page.locator("figure.code")).to_be_attached()
    await run.append(ItemDelta(item_id="m", delta_content=code[len(code) // 2 :]))
    await run.append(*whole(MessageItem(id="last", content="the end")))
    await run.append(ItemCancelled(item_id="m", reason="enough"))
    await run.end()
    await page.ended()
    heading = page.page.locator(".prose h1")
    assert await heading.evaluate("(node) => getComputedStyle(node).direction") == "rtl"
    output = page.page.get_by_role("region", name="cat")
    await output.get_by_role("button", name="Show all 62,501 lines").click()
    await expect(output.get_by_role("button", name="Show less")).to_be_visible()
    assert await output.locator(".output").evaluate("(node) => node.textContent.length") == len(line) * 62_500
    await page.page.locator("figure.code").get_by_role("button", name=re.compile("Show all")).click()
    say(f"with 6 MB unfolded, the longest of ten frames took {await longest_frame(page):.0f} ms")
    await page.page.screenshot(path=shots / "much.png")
    await page.say("still there?")
    await page.ended()
