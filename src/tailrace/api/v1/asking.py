"""From a body of the Responses API to a run: its model, what came before it, and its input.

What came before is a stored response (`previous_response_id`), or a conversation, which is a thread. Order: the earlier
items with their outputs, then the new input (Open Responses, previous_response_id).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from tailrace.api.services import Services
from tailrace.dialects.responses.body import ResponseBody
from tailrace.dialects.responses.input import Home, Reading, references
from tailrace.dialects.responses.items import item_id
from tailrace.dialects.responses.request import asked_of, generation_of
from tailrace.schema.errors import InvalidRequest, NotFound
from tailrace.schema.items import FunctionCallItem, FunctionCallOutputItem, OutputItem
from tailrace.schema.request import RunRequest
from tailrace.schema.response import ENDED, Response
from tailrace.store.base import StoredRun

NEWEST = 100  # runs in which an item is looked for that a client refers to by its id alone


@dataclass(frozen=True, slots=True)
class Before:
    """What a run goes on from. `items` are given only where the client of a connection keeps no run of them."""

    thread_id: str | None = None
    previous_run_id: str | None = None
    items: list[OutputItem] = field(default_factory=list)


async def to_run(
    services: Services, body: ResponseBody, *, open_responses: bool = False, kept: Sequence[OutputItem] | None = None
) -> RunRequest:
    """The run that is asked for. `kept`: the earlier items, where they are not stored. Raises RequestError."""
    if body.model is None:
        raise InvalidRequest("name a `model`", field="model", code="missing_required_parameter")
    provider, model_id = services.registry.resolve(body.model, None)
    before = Before(items=list(kept)) if kept is not None else await _before(services, body)
    run_id = services.new_id("resp")
    items = await _input(services, body, run_id, Home(provider.provider_id, model_id), before)
    return RunRequest(
        run_id=run_id,
        turn_id=services.new_id("turn"),
        thread_id=before.thread_id or services.new_id("thread"),
        opens_thread=before.thread_id is None,
        provider_id=provider.provider_id,
        model_id=model_id,
        input=items,
        generation=generation_of(body, provider.wire),
        metadata=dict(body.metadata) if body.metadata else None,
        on_disconnect="continue" if body.stores else "cancel",
        on_calls="end",
        previous_run_id=before.previous_run_id,
        protocol="responses",
        asked=asked_of(body, body.model, open_responses=open_responses),
        store=body.stores,
    )


async def _before(services: Services, body: ResponseBody) -> Before:
    if body.previous_response_id is not None:
        previous = await previous_run(services, body.previous_response_id)
        return Before(previous.request.thread_id, previous.request.run_id)
    if body.conversation_id is not None:
        try:
            await services.store.get_thread(body.conversation_id)
        except NotFound as error:
            raise NotFound(f"no conversation {body.conversation_id!r} is known", field="conversation") from error
        return Before(body.conversation_id)
    return Before()


async def previous_run(services: Services, response_id: str) -> StoredRun:
    """The stored run, with its end in the store. Raises InvalidRequest where it is not there, or goes on."""
    try:
        run = await services.store.get_run(response_id)
    except NotFound:
        run = None
    if run is None or not run.request.store:
        raise previous_not_found(response_id)
    if run.response.status not in ENDED:
        head = await services.log.head(response_id)
        if head is None or not head.sealed:
            raise InvalidRequest(f"response {response_id!r} has not ended yet", field="previous_response_id")
        await services.settle(response_id)
    return run


def previous_not_found(response_id: str) -> InvalidRequest:
    """As OpenAI words it: clients send their whole conversation anew at this code."""
    message = f"Previous response with id '{response_id}' not found."
    return InvalidRequest(message, field="previous_response_id", code="previous_response_not_found")


async def _input(services: Services, body: ResponseBody, run_id: str, home: Home, before: Before) -> list[OutputItem]:
    wanted = references(body.input)
    earlier = await earlier_items(services, before) if wanted or _has_outputs(body) else []
    known = {item.id: item for item in [*before.items, *earlier]}
    if any(item not in known for item in wanted):
        known |= await _newest(services)
    reading = Reading(run_id.partition("_")[2], home, known, {item.id for item in before.items})
    items = [*before.items, *reading.items(body.input if body.input is not None else [])]
    check_outputs(items, earlier)
    return items


def _has_outputs(body: ResponseBody) -> bool:
    kinds = (item.get("type") for item in body.input or () if isinstance(item, dict))
    return any(kind in {"function_call_output", "custom_tool_call_output"} for kind in kinds)


async def earlier_items(services: Services, before: Before) -> list[OutputItem]:
    """The items that the run goes on from, in order."""
    if before.previous_run_id is not None:
        runs = await services.store.chain(before.previous_run_id)
    elif before.thread_id is not None:
        runs = await _current(services, await services.store.thread_runs(before.thread_id))
    else:
        return before.items
    return [item for run in runs for item in items_of(run)]


async def _current(services: Services, runs: Sequence[Response]) -> list[Response]:
    """The runs as of now: what has ended a moment ago may not be in the store yet."""
    return [await services.reader.current(run) for run in runs]


def items_of(run: Response) -> list[OutputItem]:
    """A run's items under the ids that this dialect gives them."""
    kinds = ((item, str(item.__struct_config__.tag)) for item in run.output_items)
    return [replace(item, id=item_id(item.id, kind, run.id)) for item, kind in kinds]


async def _newest(services: Services) -> dict[str, OutputItem]:
    """The items of the newest runs: clients that refer to an item by its id alone do so in the turn after it."""
    stored, _ = await services.store.list_runs(thread_id=None, status=None, limit=NEWEST, cursor=None)
    runs = await _current(services, stored)
    return {item.id: item for run in reversed(runs) for item in items_of(run)}


def check_outputs(items: Sequence[OutputItem], earlier: Sequence[OutputItem]) -> None:
    """Each output answers a call. Raises InvalidRequest."""
    calls = {item.call_id for item in [*earlier, *items] if isinstance(item, FunctionCallItem)}
    for item in items:
        if isinstance(item, FunctionCallOutputItem) and item.call_id not in calls:
            raise InvalidRequest(
                f"No tool call found for function call output with call_id {item.call_id}.", field="input"
            )
