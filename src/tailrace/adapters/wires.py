"""The wires that Tailrace speaks to providers: for each, how a request is said and how the answer is heard."""

from tailrace.adapters.anthropic_messages import quirks as anthropic_quirks
from tailrace.adapters.anthropic_messages import request as anthropic_request
from tailrace.adapters.anthropic_messages.decode import MessagesDecoder
from tailrace.adapters.base import Quirks, Wire
from tailrace.adapters.openai_chat_completions import quirks as chat_quirks
from tailrace.adapters.openai_chat_completions import request as chat_request
from tailrace.adapters.openai_chat_completions.decode import ChatDecoder
from tailrace.adapters.openai_responses import quirks as responses_quirks
from tailrace.adapters.openai_responses import request as responses_request
from tailrace.adapters.openai_responses.decode import ResponsesDecoder

WIRES: dict[str, Wire] = {
    wire.name: wire
    for wire in (
        Wire(
            name="openai-responses",
            decoder=ResponsesDecoder,
            build=responses_request.build,
            path=responses_request.PATH,
            headers=responses_request.headers,
        ),
        Wire(
            name="anthropic-messages",
            decoder=MessagesDecoder,
            build=anthropic_request.build,
            path=anthropic_request.PATH,
            headers=anthropic_request.headers,
        ),
        Wire(
            name="openai-chat-completions",
            decoder=ChatDecoder,
            build=chat_request.build,
            path=chat_request.PATH,
            headers=chat_request.headers,
        ),
    )
}

# The quirks that a provider's table may set, with what holds where it does not.
QUIRKS: dict[str, Quirks] = {
    "openai-responses": responses_quirks.DEFAULTS,
    "anthropic-messages": anthropic_quirks.DEFAULTS,
    "openai-chat-completions": chat_quirks.DEFAULTS,
}
