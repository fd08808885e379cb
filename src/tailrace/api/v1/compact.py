"""`POST /v1/responses/compact`: a conversation made short, to be the beginning of a new one (Open Responses).

The model sums up, as it does within a run (fold/compaction.py); what comes back is the user's messages and one
`compaction` item, which holds ours sealed (`dialects/responses/sealed.py`). Given as input, it is ours again. Where the
summary is no shorter than the conversation, the item holds the conversation itself, and stands alone.
"""

from collections.abc import Sequence
from typing import Any

from litestar import Request, post
from litestar.types import ASGIApp
from msgspec.structs import replace

from tailrace.api.services import Injected, Services
from tailrace.api.v1 import envelopes
from tailrace.api.v1.asking import to_run
from tailrace.api.v1.exchange import Json200, Refused, caller, ended, problem_of, submit
from tailrace.dialects.responses.body import read
from tailrace.dialects.responses.items import said_item
from tailrace.dialects.responses.sealed import seal_items
from tailrace.dialects.responses.whole import said_usage
from tailrace.fold.compaction import USER_TOKENS, ask, compaction_item, kept, refusal, summary_generation
from tailrace.runs.drive import earlier
from tailrace.runs.history import conversation
from tailrace.schema.items import MessageItem, OutputItem
from tailrace.schema.request import RunRequest
from tailrace.schema.response import Response


@post("/v1/responses/compact", status_code=200)
async def compact_response(request: Request[Any, Any, Any], services: Injected) -> ASGIApp:
    """Make a conversation short."""
    run = await to_run(services, read(await request.body()))
    asked = replace(
        run,
        input=[*run.input, ask(f"msg_{_number(run)}_ask")],
        generation=summary_generation(run.generation),
        store=False,
        on_disconnect="continue",
    )
    response = await _answered(services, asked, request)
    problem = problem_of(response)
    if problem is not None:
        return Refused(envelopes.RESPONSES.tell(problem))
    said = [item.content for item in response.output_items[len(asked.input) :] if isinstance(item, MessageItem)]
    items = conversation(await earlier(services.store, run), replace(response, output_items=run.input))
    return Json200(_compacted(run, items, response, "".join(said)))


async def _answered(services: Services, run: RunRequest, request: Request[Any, Any, Any]) -> Response:
    await submit(services, run, caller(request.headers))
    return await ended(services, run.run_id)


def _compacted(
    run: RunRequest, items: Sequence[OutputItem], response: Response, summary: str
) -> dict[str, Any]:  # fmt: skip
    item = compaction_item(f"cmp_{_number(run)}", summary)
    stays = kept(items, USER_TOKENS)
    if refusal(items, item, response.finish_reason or "stop") is None:
        sealed = seal_items([item])
    else:  # what is short enough, or could not be made shorter, is handed over as it is
        sealed, stays = seal_items(list(items)), []
    return {
        "id": run.run_id,
        "object": "response.compaction",
        "created_at": response.created_at // 1000,
        "output": [
            *(said_item(each, run.run_id, sealed=True) for each in stays),
            {"id": item.id, "type": item.provider_type, "encrypted_content": sealed},
        ],
        "usage": said_usage(response.usage, "completed"),
    }


def _number(run: RunRequest) -> str:
    return run.run_id.partition("_")[2]
