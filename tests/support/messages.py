"""What a Messages client makes of a stream: events of a run's log, and the message they add up to."""

from collections.abc import Iterable
from typing import Any

from tailrace.dialects.base import FULL, Frame, View
from tailrace.dialects.messages.body import Body, read
from tailrace.dialects.messages.conversation import Home, items_of
from tailrace.dialects.messages.encode import MESSAGES
from tailrace.dialects.messages.whole import WholeMessage
from tailrace.fold.reducer import Reducer
from tailrace.schema import codec
from tailrace.schema.batch import Batch
from tailrace.schema.events import Payload, ProviderEvent, ResponseStart, StepStart, TraceContext
from tailrace.schema.items import OutputItem
from tailrace.schema.request import Generation, RunRequest

TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
START = ResponseStart(response_id="msg_1", turn_id="t", thread_id="th", model_id="m", provider_id="p", created_at=5)
STEP = StepStart(step=1, provider_id="p", model_id="m")
ASKED = ProviderEvent(
    provider_id="tailrace", name="asked", data={"protocol": "messages", "asked": {"model": "p/m"}}
)  # fmt: skip
HOME = Home("p", "m", speaks_messages=True)
AWAY = Home("q", "n", speaks_messages=False)


def batches(payloads: list[Payload], sizes: Iterable[int] = ()) -> Iterable[Batch]:
    """The events, appended in batches of these sizes (then all together)."""
    seq, sizes = 1, iter(sizes)
    while payloads:
        size = next(sizes, len(payloads))
        yield Batch("r", seq, 5, TRACE, payloads=payloads[:size])
        payloads, seq = payloads[size:], seq + size


def frames(payloads: list[Payload], view: View = FULL, sizes: Iterable[int] = ()) -> list[Frame]:
    """The frames of these events."""
    encoder = MESSAGES.encoder(view)
    return [frame for batch in batches(payloads, sizes) for frame in encoder.encode(batch)]


def streamed(payloads: list[Payload], view: View = FULL) -> list[dict[str, Any]]:
    """The events of the stream, pings aside."""
    made = [codec.decode_any(frame.data) for frame in frames(payloads, view)]
    return [event for event in made if event["type"] != "ping"]


def message(payloads: list[Payload]) -> Any:
    """The answer to a request that does not stream, of the same run."""
    whole = WholeMessage()
    for batch in batches(payloads):
        whole.take(batch)
    request = RunRequest(
        run_id="r", turn_id="t", thread_id="th", provider_id="p", model_id="m", input=[], generation=Generation()
    )
    return codec.decode_any(whole.whole(Reducer().fold(batches(payloads)).response(), request))


def body(**fields: Any) -> Body:
    """A request with these fields, as it is read."""
    given = {"model": "p/m", "max_tokens": 4096, "messages": [{"role": "user", "content": "hello"}], **fields}
    return read(codec.encode(given), Body)


def items(*messages: Any, home: Home = HOME) -> list[OutputItem]:
    """The items of these messages."""
    return items_of(body(messages=list(messages)).messages, home)
