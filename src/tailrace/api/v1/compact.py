"""`POST /v1/responses/compact`: a conversation made short, to be the beginning of a new one (Open Responses).

The model sums up; what comes back is the user's messages and one `compaction` item, which holds the summary sealed
(`dialects/responses/sealed.py`). Given as input, the item is the summary again.
"""

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
from tailrace.schema.items import MessageItem
from tailrace.schema.request import Generation, RunRequest
from tailrace.schema.response import Response

ASK = (
    "Sum up the conversation so far for someone who is to go on with it: what was asked for, what was found out or "
    "decided, names, numbers and code that matter word for word, and what is still to be done. Write only the summary."
)
LEAD = "Summary of the conversation so far:\n\n"


@post("/v1/responses/compact", status_code=200)
async def compact_response(request: Request[Any, Any, Any], services: Injected) -> ASGIApp:
    """Make a conversation short."""
    run = await to_run(services, read(await request.body()))
    number = run.run_id.partition("_")[2]
    asked = replace(
        run,
        input=[*run.input, MessageItem(id=f"msg_{number}_ask", content=ASK, origin="user")],
        generation=Generation(instructions=run.generation.instructions),
        store=False,
        on_disconnect="continue",
    )
    response = await _answered(services, asked, request)
    problem = problem_of(response)
    if problem is not None:
        return Refused(envelopes.RESPONSES.tell(problem))
    said = [item.content for item in response.output_items[len(asked.input) :] if isinstance(item, MessageItem)]
    return Json200(_compacted(run, response, "".join(said)))


async def _answered(services: Services, run: RunRequest, request: Request[Any, Any, Any]) -> Response:
    await submit(services, run, caller(request.headers))
    return await ended(services, run.run_id)


def _compacted(run: RunRequest, response: Response, summary: str) -> dict[str, Any]:
    number = run.run_id.partition("_")[2]
    sealed = seal_items([MessageItem(id=f"msg_{number}_summary", content=f"{LEAD}{summary}")])
    kept = [item for item in run.input if isinstance(item, MessageItem) and item.origin == "user"]
    return {
        "id": run.run_id,
        "object": "response.compaction",
        "created_at": response.created_at // 1000,
        "output": [
            *(said_item(item, run.run_id, sealed=True) for item in kept),
            {"id": f"cmp_{number}", "type": "compaction", "encrypted_content": sealed},
        ],
        "usage": said_usage(response.usage, "completed"),
    }
