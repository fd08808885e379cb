"""Runs over HTTP: submit, read, cancel, answer calls; every end is one terminal event."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tailrace.client.client import ClientError
from tailrace.fold.grammar import Grammar
from tailrace.fold.reducer import Reducer
from tailrace.schema.events import Event, ItemDelta, ProviderEvent, ResponseError
from tailrace.schema.items import FunctionCallItem, FunctionCallOutputItem, MessageItem, ReasoningItem
from tailrace.schema.response import Response
from tailrace.testing.moves import Burst, Call, Cut, Fail, Finish, Gate, HttpError, Pause, Reasoning, Stall, Text
from tailrace.testing.upstream import ScriptedUpstream
from tests.support.asking import offered
from tests.support.server import WIRES, Served, serving, settings

WEATHER = {
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
every_wire = pytest.mark.parametrize("wire", list(WIRES))


async def events_of(server: Served, run_id: str, after: int = 0) -> list[Event]:
    return [event async for event in server.client.events(run_id, after)]


async def run(server: Served, **body: Any) -> tuple[list[Event], Response]:
    """Submit, read to the end, check that the stream is legal and folds to what the server says."""
    run_id = (await server.client.submit(**{"prompt": "hello", **body}))["run_id"]
    events = await events_of(server, run_id)
    return events, await checked(server, events)


async def checked(server: Served, events: list[Event]) -> Response:
    grammar, state = Grammar(), Reducer()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    for event in events:
        assert grammar.accept(event.payload) is None
        assert not (isinstance(event.payload, ProviderEvent) and "STREAM_SEQUENCE" in event.payload.name)
        state.apply(event.seq, event.timestamp, event.payload)
    assert grammar.run == "ended"
    response = await server.client.run(events[0].run_id)
    assert state.response() == response
    return response


def text_of(response: Response) -> str:
    return "".join(i.content for i in response.output_items if isinstance(i, MessageItem) and i.origin == "agent")


@every_wire
async def test_a_prompt_becomes_a_stream_and_a_stored_run(server: Served, wire: str):
    """The main job, on each wire: text in, a durable stream out, the same again for whoever asks later."""
    server.upstream.enqueue([Reasoning("Let me see."), Text("Hello **you**.")])
    events, response = await run(server, model_id=f"{wire}/m")
    assert [event.type for event in events][:4] == ["response_start", "item_start", "item_done", "step_start"]
    assert response.status == "complete"
    assert response.finish_reason == "stop"
    assert response.output_items[0] == MessageItem(id="input_1", content="hello", origin="user")
    assert text_of(response) == "Hello **you**."
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.prompt_tokens + response.usage.completion_tokens > 0
    assert await events_of(server, response.id) == events


@every_wire
async def test_c3_a_thread_remembers(server: Served, wire: str):
    """The second turn's request carries the first turn, so that its answer can depend on it."""
    first = await server.client.submit(prompt="remember the word xyzzy", model_id=f"{wire}/m")
    await events_of(server, first["run_id"])
    _, response = await run(server, prompt="what did i say?", thread_id=first["thread_id"], model_id=f"{wire}/m")
    assert "xyzzy" in text_of(response)
    assert "xyzzy" in str(server.upstream.requests[-1].body)
    thread = await server.client.request("GET", f"/api/v2/threads/{first['thread_id']}")
    assert [i["content"] for i in thread["history"] if i.get("origin") == "user"] == [
        "remember the word xyzzy", "what did i say?",
    ]  # fmt: skip


@every_wire
async def test_client_tools_end_the_step_and_go_on_with_their_outputs(server: Served, wire: str):
    """Two calls wait in `requires_action`; with both outputs the run goes on, and the model is told in call order."""
    server.upstream.enqueue(
        [Call("weather", '{"city":"Paris"}'), Call("weather", '{"city":"Oslo"}')], [Text("Mild and cold.")]
    )
    submitted = await server.client.submit(prompt="weather?", tools=[WEATHER], model_id=f"{wire}/m")
    waiting = await until(server, submitted["run_id"], "requires_action")
    calls = [item for item in waiting.output_items if isinstance(item, FunctionCallItem)]
    assert [call.arguments for call in calls] == ['{"city":"Paris"}', '{"city":"Oslo"}']
    outputs = [{"call_id": call.call_id, "output": text} for call, text in zip(calls, ("20 °C", "-3 °C"), strict=True)]
    await server.client.outputs(submitted["run_id"], [outputs[1]])
    assert (await server.client.run(submitted["run_id"])).status == "requires_action"
    await server.client.outputs(submitted["run_id"], [{**outputs[0], "success": False}])
    response = await checked(server, await events_of(server, submitted["run_id"]))
    assert response.status == "complete"
    assert [step.finish_reason for step in response.steps] == ["tool_calls", "stop"]
    said = str(server.upstream.requests[-1].body)
    assert said.index("20 °C") < said.index("-3 °C")


async def waiting_calls(server: Served, run_id: str, answered: int) -> list[FunctionCallItem]:
    """The calls behind the first `answered` ones, once the run waits for them."""
    while (run := await server.client.run(run_id)).status != "requires_action":
        await asyncio.sleep(0.01)
    return [item for item in run.output_items if isinstance(item, FunctionCallItem)][answered:]


async def until(server: Served, run_id: str, status: str) -> Response:
    """The run once it has this status, as its stream shows."""
    state = Reducer()
    async for event in server.client.events(run_id):
        state.apply(event.seq, event.timestamp, event.payload)
        if state.status == status:
            return state.response()
    raise AssertionError(f"the run ended as {state.status}")


@every_wire
async def test_a_call_id_used_again_in_a_later_step_is_another_call(server: Served, wire: str):
    """Some providers count their calls anew in each answer: each call has its own output all the same."""
    server.upstream.enqueue(
        [Call("weather", "{}", call_id="c1")], [Call("weather", "{}", call_id="c1")], [Text("done")]
    )
    run_id = (await server.client.submit(prompt="x", tools=[WEATHER], model_id=f"{wire}/m"))["run_id"]
    for number in range(2):
        (call,) = await waiting_calls(server, run_id, number)
        await server.client.outputs(run_id, [{"call_id": call.call_id, "output": str(number)}])
    response = await checked(server, await events_of(server, run_id))
    assert response.status == "complete"
    assert [i.output for i in response.output_items if isinstance(i, FunctionCallOutputItem)] == ["0", "1"]


async def test_outputs_must_be_waited_for(server: Served):
    """An unknown call is refused by name; so are other outputs than before for a run that works or has ended."""
    server.upstream.enqueue([Call("weather", "{}", call_id="c1")], [Gate("g"), Text("done")])
    run_id = (await server.client.submit(prompt="weather?", tools=[WEATHER]))["run_id"]
    await until(server, run_id, "requires_action")
    for wrong in ([{"call_id": "c2", "output": ""}], [{"call_id": "c1", "output": ""}] * 2):
        with pytest.raises(ClientError) as refused:
            await server.client.outputs(run_id, wrong)
        assert (refused.value.status, refused.value.field) == (400, f"outputs[{len(wrong) - 1}].call_id")
    await server.client.outputs(run_id, [{"call_id": "c1", "output": "x"}])
    await server.upstream.received(2)
    for _ in range(2):
        with pytest.raises(ClientError) as refused:
            await server.client.outputs(run_id, [{"call_id": "c1", "output": "y"}])
        assert refused.value.status == 409
        server.upstream.gate("g").open()
        await events_of(server, run_id)


async def test_outputs_that_are_sent_again_change_nothing(server: Served):
    """A client that had no answer asks anew, while the run works and when it has ended: it is accepted once more."""
    server.upstream.enqueue([Call("weather", "{}", call_id="c1")], [Gate("g"), Text("done")])
    run_id = (await server.client.submit(prompt="weather?", tools=[WEATHER]))["run_id"]
    await until(server, run_id, "requires_action")
    await server.client.outputs(run_id, [{"call_id": "c1", "output": "x"}])
    await server.upstream.received(2)
    for _ in range(2):
        await server.client.outputs(run_id, [{"call_id": "c1", "output": "x"}])
        server.upstream.gate("g").open()
        events = await events_of(server, run_id)
    items = (await server.client.run(run_id)).output_items
    outputs = [item for item in items if isinstance(item, FunctionCallOutputItem)]
    assert (len(outputs), events[-1].type, len(server.upstream.requests)) == (1, "response_done", 2)


@every_wire
async def test_c10_a4_an_error_in_mid_stream_is_the_one_terminal_event(server: Served, wire: str):
    """What came before it stays where it stood; there is no `response_done` behind it."""
    server.upstream.enqueue([Text("This far"), Fail("server_error")])
    events, response = await run(server, model_id=f"{wire}/m")
    assert [event.type for event in events if event.type in {"response_done", "response_error"}] == ["response_error"]
    assert response.status == "error"
    assert response.error is not None
    assert response.error.retryable
    failed = response.output_items[-1]
    assert failed.__struct_config__.tag == "error"
    assert failed.partial.content.startswith("This")
    assert len(server.upstream.requests) == 1


@pytest.mark.slow
@every_wire
@pytest.mark.parametrize(
    ("status", "code", "tries"),
    [(400, "invalid_request", 1), (401, "authentication", 1), (429, "rate_limited", 2), (500, "server_error", 2),
     (529, "overloaded", 2)],
)  # fmt: skip
async def test_c11_http_errors_end_in_one_terminal_event(
    tmp_path: Path, upstream: ScriptedUpstream, wire: str, status: int, code: str, tries: int
):
    """Each status has its code; what may pass is tried again, within the budget."""
    upstream.script = lambda _: [HttpError(status)]
    async with serving(settings(tmp_path, upstream, upstream={"attempts": 2}), upstream) as server:
        events, response = await run(server, model_id=f"{wire}/m")
    assert response.error is not None
    assert (response.error.code, len(upstream.requests)) == (code, tries)
    assert sum(isinstance(event.payload, ResponseError) for event in events) == 1


async def test_a_retry_is_invisible_before_anything_was_said(server: Served):
    """An overloaded provider that recovers leaves no trace in what readers see but the answer."""
    server.upstream.enqueue([HttpError(529)], [Cut()], [Text("there")])
    _, response = await run(server)
    assert text_of(response) == "there"
    assert len(server.upstream.requests) == 3
    assert len(response.steps) == 1


async def test_a3_nothing_is_retried_once_a_call_was_seen(server: Served):
    """Cut after the first of two calls: that one is answered, not run twice; the run ends with an error."""
    server.upstream.enqueue([Call("weather", '{"city":"Paris"}', call_id="c1"), Call("weather", '{"city":'), Cut()])
    _, response = await run(server, tools=[WEATHER])
    assert len(server.upstream.requests) == 1
    assert response.error is not None
    assert response.error.code == "stream_interrupted"
    calls = [i.call_id for i in response.output_items if isinstance(i, FunctionCallItem)]
    outputs = [i.call_id for i in response.output_items if isinstance(i, FunctionCallOutputItem)]
    assert calls == outputs


@every_wire
async def test_c8_a1_a_stream_that_is_cut_is_never_a_success(server: Served, wire: str):
    """The connection ends without the provider's terminal event: an interrupted error."""
    server.upstream.enqueue([Text("half"), Cut()])
    _, response = await run(server, model_id=f"{wire}/m")
    assert response.error is not None
    assert (response.error.code, response.error.retryable) == ("stream_interrupted", True)


@pytest.mark.slow
async def test_c9_a_reset_before_the_headers_ends_the_run(tmp_path: Path, upstream: ScriptedUpstream):
    """No answer at all, several times: a terminal error, not a run that stays in progress."""
    upstream.script = lambda _: [Cut()]
    async with serving(settings(tmp_path, upstream, upstream={"attempts": 2}), upstream) as server:
        _, response = await run(server)
    assert response.error is not None
    assert response.error.retryable


async def test_c15_a_provider_that_stalls_is_given_up(tmp_path: Path, upstream: ScriptedUpstream):
    """Silence beyond the idle limit is a retryable error that names the watchdog."""
    upstream.enqueue([Text("one moment"), Stall()])
    async with serving(settings(tmp_path, upstream, upstream={"idle_s": 0.2}), upstream) as server:
        _, response = await run(server)
    assert response.error is not None
    assert (response.error.code, response.error.retryable) == ("timeout", True)
    assert response.error.details == {"watchdog": "idle"}


@pytest.mark.parametrize("when", ["text", "waiting for headers", "backoff", "tool outputs"])
async def test_c14_a18_cancel_ends_the_run_within_a_second(server: Served, when: str):
    """Whatever the run is at: aborted, its socket closed, its items kept, its calls answered; again changes nothing."""
    scripts = {
        "text": [Text("so far"), Stall()],
        "waiting for headers": [Stall()],
        "backoff": [HttpError(429, retry_after=2.5)],
        "tool outputs": [Call("weather", "{}", call_id="c1")],
    }
    server.upstream.enqueue(scripts[when])
    run_id = (await server.client.submit(prompt="x", tools=[WEATHER]))["run_id"]
    request = await server.upstream.received()
    if when == "text":
        await first_delta(server, run_id)
    elif when == "tool outputs":
        await until(server, run_id, "requires_action")
    elif when == "backoff":
        await request.answered.wait()
    async with asyncio.timeout(1):
        await server.client.cancel(run_id)
        events = await events_of(server, run_id)
    response = await checked(server, events)
    assert response.status == "aborted"
    assert response.finish_reason == "cancelled"
    if when in {"text", "waiting for headers"}:
        async with asyncio.timeout(1):
            await request.disconnected.wait()
    if when == "tool outputs":
        assert isinstance(response.output_items[-1], FunctionCallOutputItem)
    await server.client.cancel(run_id)
    assert (await server.client.run(run_id)).last_seq == response.last_seq
    assert len(server.upstream.requests) == 1


async def first_delta(server: Served, run_id: str) -> None:
    async with aclosing(server.client.events(run_id)) as events:
        async for event in events:
            if isinstance(event.payload, ItemDelta):
                return


@every_wire
async def test_c19_length_with_open_calls_leaves_none_dangling(server: Served, wire: str):
    """A step cut off by length after a call: the call is answered as not run, and the run ends as length."""
    server.upstream.enqueue([Call("weather", '{"city":"Paris"}'), Finish("length")])
    _, response = await run(server, tools=[WEATHER], model_id=f"{wire}/m")
    assert response.finish_reason == "length"
    calls = {i.call_id for i in response.output_items if isinstance(i, FunctionCallItem)}
    outputs = {i.call_id: i for i in response.output_items if isinstance(i, FunctionCallOutputItem)}
    assert calls == set(outputs)
    assert not any(output.success for output in outputs.values())


@pytest.mark.parametrize("wire", ["messages", "bedrock"])
async def test_c18_thinking_goes_back_byte_for_byte(server: Served, wire: str):
    """These scripted wires refuse, as the real ones do, a tool turn without its signed thinking."""
    server.upstream.enqueue(
        [Reasoning("First I look."), Reasoning("", redacted=True), Call("weather", '{"city":"Paris"}')], [Text("Mild.")]
    )
    run_id = (await server.client.submit(prompt="x", tools=[WEATHER], model_id=f"{wire}/m", thinking_budget=2048))[
        "run_id"
    ]
    waiting = await until(server, run_id, "requires_action")
    (call,) = (item for item in waiting.output_items if isinstance(item, FunctionCallItem))
    assert sum(isinstance(item, ReasoningItem) and item.opaque is not None for item in waiting.output_items) == 2
    await server.client.outputs(run_id, [{"call_id": call.call_id, "output": "20"}])
    response = await checked(server, await events_of(server, run_id))
    assert (response.status, text_of(response)) == ("complete", "Mild.")


@every_wire
async def test_c16_a_tool_without_arguments_is_called_with_none(server: Served, wire: str):
    """No argument deltas at all: `{}`, and the provider takes it back."""
    tool = {"name": "now", "parameters": {"type": "object", "properties": {}}}
    server.upstream.enqueue([Call("now")], [Text("Noon.")])
    run_id = (await server.client.submit(prompt="x", tools=[tool], model_id=f"{wire}/m"))["run_id"]
    waiting = await until(server, run_id, "requires_action")
    (call,) = (item for item in waiting.output_items if isinstance(item, FunctionCallItem))
    assert call.arguments == "{}"
    await server.client.outputs(run_id, [{"call_id": call.call_id, "output": "12:00"}])
    assert (await checked(server, await events_of(server, run_id))).status == "complete"


@pytest.mark.slow
async def test_the_step_limit_is_a_finish_of_its_own(tmp_path: Path, upstream: ScriptedUpstream):
    """A model that calls on and on is stopped with `limit`."""
    upstream.script = lambda _: [Call("weather", "{}")]
    async with serving(settings(tmp_path, upstream, limits={"max_steps": 2}), upstream) as server:
        run_id = (await server.client.submit(prompt="x", tools=[WEATHER]))["run_id"]
        for number in range(2):
            (call,) = await waiting_calls(server, run_id, number)
            await server.client.outputs(run_id, [{"call_id": call.call_id, "output": "x"}])
        response = await checked(server, await events_of(server, run_id))
    assert response.finish_reason == "limit"
    assert len(upstream.requests) == 2


@every_wire
async def test_c30_c31_just_the_tools_asked_for_are_offered(server: Served, wire: str):
    """Two tools: the request has exactly those two. None: it has none, and nothing is made up."""
    other = {"name": "now", "parameters": {"type": "object", "properties": {}}}
    await run(server, tools=[WEATHER, other], model_id=f"{wire}/m")
    await run(server, model_id=f"{wire}/m")
    assert [offered(request.body) for request in server.upstream.requests] == [["weather", "now"], []]
    assert not {"tools", "toolConfig"} & server.upstream.requests[1].body.keys()


async def test_a17_a_refused_key_is_not_tried_again(server: Served):
    """Keys come from the environment and cannot be refreshed: 401 ends the run at once, with one request."""
    server.upstream.enqueue([HttpError(401)])
    _, response = await run(server)
    assert response.error is not None
    assert (response.error.code, response.error.retryable) == ("authentication", False)
    assert len(server.upstream.requests) == 1


async def test_c1_two_who_answer_one_call_make_one_output(server: Served):
    """Ten clients send the output of one call at once: one is taken, the others are told; the model hears it once."""
    server.upstream.enqueue([Call("weather", "{}", call_id="c1")], [Text("done")])
    run_id = (await server.client.submit(prompt="x", tools=[WEATHER]))["run_id"]
    await until(server, run_id, "requires_action")
    outputs = [server.client.outputs(run_id, [{"call_id": "c1", "output": str(n)}]) for n in range(10)]
    answers = await asyncio.gather(*outputs, return_exceptions=True)
    assert sum(answer is None for answer in answers) == 1
    assert {error.status for error in answers if isinstance(error, ClientError)} <= {400, 409}
    response = await checked(server, await events_of(server, run_id))
    assert sum(isinstance(item, FunctionCallOutputItem) for item in response.output_items) == 1
    assert len(server.upstream.requests) == 2


async def test_c67_without_the_history_the_second_turn_would_fail(server: Served, monkeypatch: pytest.MonkeyPatch):
    """The test of threads (c3) can fail: with the history taken out, the model knows nothing of the first turn."""
    monkeypatch.setattr("tailrace.runs.drive.conversation", lambda _earlier, current: current.output_items)
    first = await server.client.submit(prompt="remember the word xyzzy")
    await events_of(server, first["run_id"])
    _, response = await run(server, prompt="what did i say?", thread_id=first["thread_id"])
    assert "xyzzy" not in text_of(response)


async def test_c55_a_run_id_is_used_once(server: Served):
    """The same body gives the same run, another body a conflict."""
    first = await server.client.submit(prompt="hello", run_id="mine")
    again = await server.client.submit(prompt="hello", run_id="mine")
    assert again == first
    with pytest.raises(ClientError) as refused:
        await server.client.submit(prompt="other", run_id="mine")
    assert (refused.value.status, refused.value.code) == (409, "conflict")
    await events_of(server, "mine")
    assert len(server.upstream.requests) == 1


async def test_c58_a_busy_thread_rejects_or_is_interrupted(server: Served):
    """The default is 409; `interrupt` ends the live run first. History keeps the order in which runs were made."""
    server.upstream.enqueue([Text("one"), Stall()], [Text("two")])
    first = await server.client.submit(prompt="first")
    await first_delta(server, first["run_id"])
    with pytest.raises(ClientError) as refused:
        await server.client.submit(prompt="second", thread_id=first["thread_id"])
    assert refused.value.status == 409
    second = await server.client.submit(prompt="second", thread_id=first["thread_id"], when_busy="interrupt")
    assert (await checked(server, await events_of(server, second["run_id"]))).status == "complete"
    assert (await server.client.run(first["run_id"])).status == "aborted"
    thread = await server.client.request("GET", f"/api/v2/threads/{first['thread_id']}")
    assert [run["id"] for run in thread["runs"]] == [first["run_id"], second["run_id"]]


@pytest.mark.slow
async def test_runs_on_one_thread_follow_each_other_without_a_pause(server: Served):
    """The next submit right behind the terminal event is no conflict, however far the store lags."""
    thread_id = None
    for number in range(20):
        server.upstream.enqueue([Text(f"answer {number}")])
        body = {"thread_id": thread_id} if thread_id else {}
        _, response = await run(server, prompt=f"question {number}", **body)
        thread_id = response.thread_id
    assert str(server.upstream.requests[-1].body).count("answer") == 19


async def test_concurrent_submits_to_one_thread_start_one_run(server: Served):
    """Ten at once: one is taken, nine are told that the thread is busy."""
    server.upstream.script = lambda _: [Gate("g"), Text("x")]
    thread = await server.client.request("POST", "/api/v2/threads", {})
    answers = await asyncio.gather(
        *(server.client.submit(prompt=str(n), thread_id=thread["thread_id"]) for n in range(10)), return_exceptions=True
    )
    taken = [answer for answer in answers if isinstance(answer, dict)]
    assert len(taken) == 1
    assert {a.status for a in answers if isinstance(a, ClientError)} == {409}
    server.upstream.gate("g").open()
    await events_of(server, taken[0]["run_id"])


async def test_on_disconnect_cancel_ends_the_run_with_its_reader(server: Served):
    """With `on_disconnect: cancel` the last reader's leaving ends the run; by default it does not."""
    server.upstream.script = lambda _: [Text("so far"), Gate("g"), Text(" and on")]
    kept = (await server.client.submit(prompt="x"))["run_id"]
    dropped = (await server.client.submit(prompt="x", on_disconnect="cancel"))["run_id"]
    for run_id in (kept, dropped):
        await first_delta(server, run_id)
    async with asyncio.timeout(20):
        while (await server.client.run(dropped)).status != "aborted":
            await asyncio.sleep(0.01)
    assert (await server.client.run(kept)).status == "in_progress"
    server.upstream.gate("g").open()
    assert (await events_of(server, kept))[-1].type == "response_done"


async def test_a_long_answer_is_whole(server: Served):
    """Five thousand events come as they were said."""
    server.upstream.enqueue([Burst(5000)])
    events, response = await run(server)
    assert len(events) > 5000
    assert text_of(response).split()[-1] == "5000"


async def test_c45_a_thousand_deltas_are_few_writes(server: Served):
    """The number of writes to the store follows time, not tokens."""
    writes = []
    project = server.services.store.project

    async def counting(projections: Any) -> None:
        writes.extend(projection.response.id for projection in projections)
        await project(projections)

    server.services.store.project = counting
    server.upstream.enqueue([Burst(500), Pause(0.3), Burst(500)])
    _, response = await run(server)
    await server.services.settle(response.id)
    assert 1 <= writes.count(response.id) <= 10


async def test_a_question_is_asked_again_in_other_words(server: Served):
    """After another run of its thread, or from the beginning: its model hears what led there, and no more; the next
    run goes on from there, and holds the thread meanwhile."""

    async def heard(text: str, **body: Any) -> tuple[Response, list[str]]:
        server.upstream.enqueue([Text(f"to {text}")])
        _, response = await run(server, prompt=text, **body)
        said = server.upstream.requests[-1].body["input"]
        return response, [one["content"][0]["text"] for one in said if one["role"] == "user"]

    first, _ = await heard("one")
    thread = {"thread_id": first.thread_id}
    second, said = await heard("two", **thread)
    assert said == ["one", "two"]
    again, said = await heard("two, please", after_run_id=first.id, **thread)
    assert said == ["one", "two, please"]
    assert again.after_run_id == first.id
    assert (await heard("three", **thread))[1] == ["one", "two, please", "three"]
    assert (await heard("other three", after_run_id=second.id, **thread))[1] == ["one", "two", "other three"]
    anew, said = await heard("begin", after_run_id=None, **thread)
    assert said == ["begin"]
    assert anew.after_run_id is None
    assert (await heard("go on", **thread))[1] == ["begin", "go on"]


@pytest.mark.parametrize(
    "body", [{"after_run_id": "r"}, {"after_run_id": None}, {"after_run_id": "r", "thread_id": "t"}]
)
async def test_a_run_goes_on_from_one_of_its_own_thread(server: Served, body: dict[str, Any]):
    """The field is named."""
    _, other = await run(server)
    _, here = await run(server)
    given = {name: here.thread_id if name == "thread_id" else value and other.id for name, value in body.items()}
    with pytest.raises(ClientError) as refused:
        await server.client.submit(prompt="x", **given)
    assert (refused.value.status, refused.value.field) == (400, "after_run_id")
