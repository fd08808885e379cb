"""Through the page as its readers go: every feature, before `tailrace serve`."""

import re
import time
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tailrace.testing.moves import Call, Gate, Paced, Pause, Reasoning, Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.page.conftest import Open
from tests.page.watched import Watched
from tests.support.process import ServerProcess

GIVE = """(kind) => {
    const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";
    const bytes = Uint8Array.from(atob(png), (c) => c.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], kind + ".png", { type: "image/png" }));
    const event = kind === "paste"
        ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
        : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
    document.getElementById("say").dispatchEvent(event);
}"""
pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module")
async def page(tailrace: ServerProcess, opened: Open) -> Watched:
    """The page as it first opens."""
    return await opened(tailrace.url)


async def test_an_answer_grows_before_ones_eyes(page: Watched, provider: ScriptedUpstream, shots: Path):
    """Reasoning shimmers and folds when it is over; Markdown, colours, copy; usage at the foot."""
    code = "```python\nfor river in rivers:\n    print(river)\n```\n"
    thoughts = Paced(0.15, (Reasoning("Rivers run downhill. They always did.", chunk=4),))
    table = "| river | km |\n|---|---|\n| Elbe | 1094 |\n"
    provider.enqueue([thoughts, Text(f"# Rivers\n\nThey **flow**.\n\n{code}"), Gate("half"), Text(table)])
    await page.say("tell me of rivers")
    thinking = page.page.get_by_role("region", name="Thinking")
    await expect(thinking).to_contain_text("Rivers run")
    await expect(page.label("Stop")).to_be_visible()
    await page.page.screenshot(path=shots / "thinking.png")
    await expect(page.answer.locator("h1")).to_have_text("Rivers")
    await expect(page.answer.locator("strong")).to_have_text("flow")
    provider.gate("half").open()
    await expect(page.answer.locator("td").last).to_have_text("1094")
    await page.ended()
    await expect(page.answer.locator(".hljs-keyword").first).to_have_text("for")
    await expect(page.page.get_by_role("region", name="Thought")).to_be_visible()
    foot = page.page.locator(".foot")
    await expect(foot).to_contain_text("responses/m")
    await expect(foot).to_contain_text(re.compile(r"\d+ in · \d+ out"))
    assert await page.page.title() == "tell me of rivers · Tailrace"
    await page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.label("Copy code").click()
    assert await page.page.evaluate("navigator.clipboard.readText()") == "for river in rivers:\n    print(river)"


async def test_a_tool_call_grows_waits_and_is_answered(page: Watched, provider: ScriptedUpstream, shots: Path):
    """Offered in the options; arguments grow; the reader's output goes to the model; a command is a terminal."""
    await page.label("How it is asked").click()
    await page.page.get_by_role("button", name="Example tools").click()
    await page.page.get_by_role("button", name="Save").click()
    provider.enqueue(
        [Call("run_command", '{"command": "ls'), Gate("more")][:0]
        or [
            Text("I look."),
            Call("run_command", '{"command": "ls --color"}'),
            Call("get_weather", '{"place": "Oslo"}'),
        ],
        [Text("All is well.")],
    )
    await page.say("look around")
    command = page.page.get_by_role("region", name="run_command")
    weather = page.page.get_by_role("region", name="get_weather")
    await expect(command.locator(".terminal")).to_have_text("$ ls --color")
    await expect(weather).to_contain_text('"place": "Oslo"')
    await expect(weather).to_contain_text("Waiting")
    await page.page.screenshot(path=shots / "waiting.png")
    await command.get_by_role("textbox").fill("\x1b[34mdocs\x1b[0m\n" + "file\n" * 100)
    await command.get_by_role("button", name="Send output").click()
    await weather.get_by_role("textbox").fill('{"celsius": 4}')
    await weather.get_by_role("button", name="Send output").click()
    await expect(page.answer).to_contain_text("All is well.")
    await page.ended()
    await expect(command.locator(".ansi-blue")).to_have_text("docs")
    await expect(command.get_by_role("button", name="Show all 102 lines")).to_be_visible()
    await expect(weather.get_by_label("output", exact=True)).to_contain_text('"celsius": 4')
    await expect(page.page.locator(".foot")).to_contain_text("2 steps")
    sent = provider.requests[-1].body["input"]
    assert [one["output"] for one in sent if one.get("type") == "function_call_output"][1] == '{"celsius": 4}'
    await page.page.screenshot(path=shots / "tools.png")


async def test_stop_retry_edit_and_send_again(page: Watched, provider: ScriptedUpstream, shots: Path):
    """A question is asked again, or in other words, from where it was asked; what came of it before is a branch."""
    provider.enqueue([Text("This will not "), Gate("never")])
    provider.enqueue(*([Text(text)] for text in ("Second try.", "And on.", "Edited.", "Last.")))
    await page.say("first words")
    await expect(page.answer).to_contain_text("This will not")
    await page.label("Stop").click()
    await page.ended()
    await expect(page.page.locator(".broken.cancelled")).to_contain_text("This will not")
    await expect(page.page.locator(".foot")).to_contain_text("Stopped")
    provider.gate("never").open()
    await page.page.locator("[data-retry]").click()
    await expect(page.answer).to_have_text(re.compile("Second try."))
    await page.ended()
    await expect(page.page.locator(".broken.cancelled")).to_have_count(0)
    branches = page.page.get_by_role("group", name="Branches")
    await expect(branches).to_contain_text("2 / 2")
    await page.say("go on")
    await page.ended()
    thread = page.thread_id
    await page.label("Edit and send again").first.click()
    await page.label("Edit the message").fill("other words")
    await page.label("Edit the message").press("Enter")
    await expect(page.answer).to_contain_text("Edited.")
    await page.ended()
    assert page.thread_id == thread
    assert asked(provider) == ["other words"]
    await expect(page.page.locator("article.asked")).to_have_count(1)
    await expect(branches).to_contain_text("3 / 3")
    await page.page.screenshot(path=shots / "branches.png")
    await page.check_access()
    await page.label("The branch before").click()
    await expect(page.page.locator("article.asked")).to_contain_text(["first words", "go on"])
    await expect(page.answer).to_contain_text("And on.")
    await page.say("from here")
    await expect(page.answer).to_contain_text("Last.")
    assert asked(provider) == ["first words", "go on", "from here"]
    await page.ended()
    await page.page.reload()  # the newest branch
    await expect(page.page.locator("article.asked")).to_contain_text(["first words", "go on", "from here"])
    await page.label("The branch behind").click()
    await expect(page.answer).to_contain_text("Edited.")


def asked(provider: ScriptedUpstream) -> list[str]:
    """What the user said, as the model was last told."""
    messages = provider.requests[-1].body["input"]
    return [one["content"][0]["text"] for one in messages if one.get("role") == "user"]


async def test_what_is_typed_at_once_goes_where_one_went(page: Watched):
    """The key for a new thread, and words before the next frame: they are said there; a thread's own words stay its."""
    await page.say("the old thread")
    await page.ended()
    await page.label("Message").fill("for later")
    await page.press("c")
    await page.page.evaluate("""async () => {
        document.activeElement.blur();
        document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "n", bubbles: true }));
        await null;
        const field = document.getElementById("say");
        field.value = "typed at once";
        field.dispatchEvent(new InputEvent("input", { bubbles: true }));
    }""")
    await expect(page.label("Message")).to_have_value("typed at once")
    await page.say("said at once")
    await page.ended()
    await expect(page.page.locator(".thread-title")).to_have_text("said at once")
    await page.page.get_by_role("navigation").get_by_role("link", name="the old thread").click()
    await expect(page.label("Message")).to_have_value("for later")


async def test_a_run_is_told_something_while_it_works(page: Watched, provider: ScriptedUpstream, shots: Path):
    """Now, to the run at hand, or as the next turn: both are shown waiting, survive a refresh, and are heard once."""
    provider.enqueue(
        [Text("I turn right. "), Gate("told"), Text("There.")], [Text("Left it is.")], [Text("Next, the north.")]
    )
    await page.say("find the sea")
    await expect(page.answer).to_contain_text("I turn right.")
    waiting = page.page.get_by_role("article", name="You, not heard yet")
    await page.write("rather left")
    await expect(waiting).to_contain_text("rather left")
    await expect(page.label("Message")).to_have_value("")
    await page.label("Message").fill("and what comes next?")
    await expect(page.page.get_by_role("button", name="Tell it now")).to_be_visible()
    await page.page.screenshot(path=shots / "steering.png")
    await page.check_access()
    await page.page.set_viewport_size({"width": 360, "height": 720})
    for name in ("Queue", "Stop", "Copy the link to this"):
        control = page.page.get_by_role("button", name=name)
        await expect(control).to_be_in_viewport(ratio=1)
    await page.page.screenshot(path=shots / "phone-steering.png")
    await page.page.get_by_role("button", name="Queue").click()
    await expect(waiting).to_contain_text(["rather left", "and what comes next?"])
    await page.page.reload()
    await expect(waiting).to_contain_text(["Waiting: it is heard after the step at hand", "Queued: it begins when"])
    provider.gate("told").open()
    await expect(page.answer).to_contain_text("Next, the north.")
    await page.ended()
    await expect(waiting).to_have_count(0)
    await expect(page.page.locator("article.asked")).to_contain_text(
        ["find the sea", "rather left", "and what comes next?"]
    )
    assert asked(provider) == ["find the sea", "rather left", "and what comes next?"]


async def test_what_a_run_did_not_hear_comes_back(page: Watched, provider: ScriptedUpstream):
    """It was stopped before: the words are in the field again; a turn that waits can be taken back."""
    provider.enqueue([Text("I go. "), Gate("unheard")])
    await page.say("go")
    await expect(page.answer).to_contain_text("I go.")
    await page.write("not so fast")
    waiting = page.page.get_by_role("article", name="You, not heard yet")
    await expect(waiting).to_contain_text("not so fast")
    await page.label("Message").fill("and then?")
    await page.label("Message").press("Alt+Enter")
    await expect(waiting).to_have_count(2)
    await page.label("Take it back").click()
    await expect(waiting).to_have_count(1)
    await page.label("Message").fill("said later")
    await page.label("Stop").click()
    await page.ended()
    await expect(page.label("Message")).to_have_value("not so fast\n\nsaid later")
    await expect(page.page.get_by_role("status").filter(has_text="before it heard")).to_be_visible()
    provider.gate("unheard").open()
    assert provider.requests[-1].body["input"][-1]["content"][0]["text"] == "go"


async def test_an_error_is_told_where_it_happened(page: Watched):
    """The words of the error, its code, and that another try is worth it."""
    await page.say("an error, please")
    await page.ended()
    await expect(page.page.locator(".failure")).to_contain_text("The scripted upstream failed")
    await expect(page.page.locator(".broken.error")).to_contain_text("This answer is about to fail")
    await expect(page.page.locator("[data-retry]")).to_be_visible()


async def test_images_by_paste_and_drop(page: Watched, provider: ScriptedUpstream):
    """They are shown, can be taken back, and go along with the message."""
    await page.page.evaluate(GIVE, "paste")
    await expect(page.label("Images to be sent").locator("img")).to_have_count(1)
    await page.page.evaluate(GIVE, "drop")
    await expect(page.label("Images to be sent").locator("img")).to_have_count(2)
    await page.label("Remove paste.png").click()
    await page.say("what is this?")
    await page.ended()
    content = provider.requests[-1].body["input"][-1]["content"]
    assert [part["type"] for part in content] == ["input_text", "input_image"]
    await expect(page.page.locator("article.asked img")).to_have_count(1)


async def test_threads_are_found_renamed_tagged_and_deleted_with_undo(page: Watched, tailrace: ServerProcess):
    """The list keeps up with what is done, here and by others."""
    await page.say("alpha is the first")
    await page.ended()
    alpha = page.thread_id
    await page.press("n")
    await page.say("beta is the second")
    await page.ended()
    beta = page.thread_id
    entry = page.page.locator(".entry", has_text="alpha")
    await entry.hover()
    await page.label("Rename alpha is the first").click()
    await page.label("Title").fill("Alpha river")
    await page.label("Tags, separated by commas").fill("water, north")
    await page.page.get_by_role("button", name="Save").click()
    await expect(entry).to_contain_text("north")
    await page.page.get_by_role("group", name="Only with this tag").get_by_text("water").click()
    await expect(page.page.locator(".entry")).to_have_count(1)
    await page.page.get_by_role("group", name="Only with this tag").get_by_text("water").click()
    await page.press("/")
    await page.page.keyboard.type("alpha north")
    await expect(page.page.locator(".entry")).to_have_count(1)
    await page.label("Search threads").fill("")
    await page.page.locator(".entry", has_text="Alpha river").hover()
    await page.label("Delete Alpha river").click()
    await expect(page.page.locator(".entry", has_text="Alpha river")).to_have_count(0)
    await page.page.get_by_role("button", name="Undo").click()
    await expect(page.page.locator(".entry", has_text="Alpha river")).to_have_count(1)
    assert (await tailrace.get(f"/api/v2/threads/{alpha}"))[0] == 200
    await page.page.locator(".entry", has_text="beta").hover()
    await page.label("Delete beta is the second").click()
    await page.page.goto("about:blank")  # leaving does not bring it back

    async def gone() -> bool:
        return (await tailrace.get(f"/api/v2/threads/{beta}"))[0] == 404

    await page.until(gone, "the thread is still there")


async def test_addresses_lead_to_a_thread_a_run_and_an_item(page: Watched, tailrace: ServerProcess, opened: Open):
    """Also where the thread is not named; one that is not there says so."""
    await page.say("where am I?")
    await page.ended()
    row = page.page.locator("[data-item]").last
    run, item = await row.get_attribute("data-run"), await row.get_attribute("data-item")
    await row.hover()
    link = await row.get_by_label("Link to this").get_attribute("href")
    assert link == f"#/threads/{page.thread_id}/runs/{run}/items/{item}"
    other = await opened(f"{tailrace.url}/#/runs/{run}/items/{item}")
    await expect(other.page.locator(f'[id="{run}/{item}"]')).to_have_class(re.compile("found"))
    await expect(other.page.locator(".thread-title")).to_have_text("where am I?")
    await other.page.goto(f"{tailrace.url}/#/threads/{page.thread_id}/runs/{run}")
    await expect(other.page.locator(".row-item").first).to_have_class(re.compile("found"))
    log = await opened(f"{tailrace.url}/#/threads/{page.thread_id}/runs/{run}/log")
    await expect(log.page.get_by_role("complementary")).to_be_visible()
    none = await opened(f"{tailrace.url}/#/threads/nowhere")
    await expect(none.page.get_by_role("heading", name="There is no such thread")).to_be_visible()


async def test_models_agents_and_settings_are_chosen_and_kept(
    page: Watched, provider: ScriptedUpstream, tailrace: ServerProcess
):
    """The picker finds, and takes free names; agent and options go along; the browser remembers them."""
    await page.page.get_by_role("button", name="Model: Default model").click()
    await page.label("Find: Model").fill("fast")
    await page.page.keyboard.press("ArrowDown")
    await page.page.keyboard.press("Enter")
    await page.page.get_by_role("button", name="Agent: No agent").click()
    await page.page.get_by_role("option", name="planner").click()
    await page.label("How it is asked").click()
    await page.label("Temperature").fill("0.5")
    await page.page.get_by_role("button", name="Save").click()
    await page.say("hello")
    await page.ended()
    body = provider.requests[-1].body
    assert (body["temperature"], body["instructions"]) == (0.5, "Plan first.")
    await page.page.reload()
    await expect(page.page.get_by_role("button", name="Agent: planner")).to_be_visible()
    await page.page.get_by_role("button", name=re.compile("^Model:")).click()
    await page.label("Find: Model").fill("nobody/nothing")
    await page.page.keyboard.press("Enter")
    await page.write("hello again")
    await expect(page.page.get_by_role("status").filter(has_text="nobody")).to_be_visible()
    await expect(page.label("Message")).to_have_value("hello again")


async def test_light_dark_keyboard_and_phone(page: Watched, opened: Open, tailrace: ServerProcess, shots: Path):
    """Colours are the system's until chosen; keys are listed; on a phone the list slides in. axe is content."""
    await page.say("a welcome, please")
    await page.ended()
    await page.page.screenshot(path=shots / "light.png")
    await page.check_access()
    await page.press("t")
    await expect(page.page.locator("html[data-theme=dark]")).to_have_count(1)
    await page.page.reload()
    await expect(page.answer).to_be_visible()
    await page.page.screenshot(path=shots / "dark.png")
    await page.check_access()
    await page.press("?")
    await expect(page.page.get_by_role("dialog", name="Keyboard")).to_contain_text("search threads")
    await page.page.keyboard.press("Escape")
    await page.page.get_by_role("button", name="Settings").click()
    await page.page.get_by_role("radio", name="Light").check(force=True)
    await expect(page.page.locator("html[data-theme=light]")).to_have_count(1)
    await page.page.screenshot(path=shots / "settings.png")
    await page.check_access()
    thread = f"{tailrace.url}/#/threads/{page.thread_id}"
    phone = await opened(thread, viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True)
    await expect(phone.answer).to_be_visible()
    assert await phone.page.evaluate("document.documentElement.scrollWidth") == 390
    await phone.page.screenshot(path=shots / "phone.png")
    await phone.check_access()
    foot = phone.page.locator(".foot")
    await expect(foot).to_be_in_viewport()
    await foot.get_by_role("button", name="Log").click()
    await expect(phone.page.locator(".event").first).to_be_visible()
    await phone.page.screenshot(path=shots / "phone-log.png")
    await phone.page.get_by_role("button", name="Close the log").click()
    await expect(foot).to_be_in_viewport()  # the end is followed as before
    await phone.page.get_by_role("button", name="Threads").click()
    await expect(phone.page.get_by_role("button", name="New thread")).to_be_in_viewport()
    await phone.page.wait_for_timeout(200)
    await phone.page.screenshot(path=shots / "phone-threads.png")


async def test_the_inspector_shows_filters_compares_exports_and_plays(
    page: Watched, provider: ScriptedUpstream, shots: Path, tmp_path: Path
):
    """A run's log as a table, a timeline, other dialects, a file, and once more."""
    provider.enqueue([Reasoning("Let me see."), Text("One. "), Pause(2.5), Text("Two.")])
    await page.say("count")
    await page.ended()
    await page.press("l")
    panel = page.page.get_by_role("complementary")
    await expect(panel.locator(".event").first).to_contain_text("response_start")
    await page.label("Filter events").fill("two.")
    await expect(panel.locator(".event").last).to_contain_text("Two.")
    await page.label("Type of event").select_option("item_done")
    await panel.locator(".event").last.click()
    await expect(panel.locator(".whole pre")).to_contain_text('"final_item"')
    await page.label("Filter events").fill("")
    await page.label("Type of event").select_option("")
    await page.page.screenshot(path=shots / "log.png")
    await page.check_access()
    async with page.page.expect_download() as download:
        await panel.get_by_role("button", name="Export").click()
    await (await download.value).save_as(tmp_path / "run.jsonl")
    lines = (tmp_path / "run.jsonl").read_text().splitlines()
    assert len(lines) > 10
    assert '"response_done"' in lines[-1]
    await panel.get_by_role("tab", name="Timeline").click()
    await expect(panel.locator(".bar-row")).to_have_count(5)
    await expect(panel.locator(".notes")).to_contain_text(re.compile(r"nothing for \d+\.\d s, until item_delta"))
    await page.page.screenshot(path=shots / "timeline.png")
    await page.check_access()
    await panel.get_by_role("tab", name="Dialects").click()
    await expect(panel.get_by_role("region", name="responses")).to_contain_text("response.completed")
    await page.label("Dialect 1").select_option("messages")
    await expect(panel.get_by_role("region", name="messages")).to_contain_text("message_stop")
    await page.page.screenshot(path=shots / "dialects.png")
    await panel.get_by_role("tab", name="Replay").click()
    stage = panel.locator(".stage")
    before = next(at for at, line in enumerate(lines) if "Two." in line)
    await page.label("Event").fill(str(before))
    await expect(stage).to_contain_text("One.")
    await expect(stage).not_to_contain_text("Two.")
    await page.label("Speed").select_option("2")
    clicked = time.monotonic()
    await page.label("Play").click()
    await expect(stage).to_contain_text("Two.")
    assert time.monotonic() - clicked > 1, "2.5 seconds were waited for, twice as fast"
    await expect(page.label("Play")).to_be_visible()
    await page.page.keyboard.press("Escape")
    await expect(panel).to_have_count(0)
