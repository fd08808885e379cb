"""What a decoder hears, the same wire's request can say again."""

import pytest

from tailrace.adapters.base import DecodeContext
from tailrace.adapters.wires import WIRES
from tailrace.schema import codec
from tailrace.schema.events import ItemDone
from tests.support.items import HERE, ask, output, user

CONTEXT = DecodeContext(provider_id=HERE[0], model_id=HERE[1])


def heard(wire, answer):
    """The items of a whole answer."""
    decoder = WIRES[wire].decoder(CONTEXT)
    return [event.final_item for event in decoder.whole(codec.encode(answer)) if isinstance(event, ItemDone)]


def again(wire, answer):
    """The next request of the tool loop."""
    return WIRES[wire].build(ask(user(), *heard(wire, answer), output("call_1", "blue")), {})


def test_c18_a6_thinking_of_the_messages_wire():
    """Thinking with its signature, redacted thinking and the call: the same blocks in the same order."""
    content = [
        {"type": "thinking", "thinking": "let me see", "signature": "EqQB+/=="},
        {"type": "redacted_thinking", "data": "Ep8C+/=="},
        {"type": "text", "text": "I look."},
        {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "sky"}},
        {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []},
        {"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": "sky"}},
    ]
    answer = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content,
              "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
    assert again("anthropic-messages", answer)["messages"][1] == {"role": "assistant", "content": content}


@pytest.mark.parametrize("key", ["summary", "content"])
def test_a6_reasoning_of_the_responses_wire(key):
    """Encrypted content with its id and texts, and the provider's own item."""
    kind = "summary_text" if key == "summary" else "reasoning_text"
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA+/="}
    reasoning[key] = [{"type": kind, "text": "hm"}]
    search = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "x"},
    }
    call = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{ "at": "sky" }'}
    answer = {"id": "resp_1", "object": "response", "status": "completed", "model": "m",
              "output": [reasoning, search, {**call, "id": "fc_1", "status": "completed"}]}  # fmt: skip
    assert again("openai-responses", answer)["input"][1:4] == [reasoning, search, call]


def test_a6_reasoning_details_of_the_chat_wire():
    """What a host sent to be sent back, and the call with its arguments as they came."""
    details = [{"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0, "format": "f"}]
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{ "at": "sky" }'}}
    call["extra_content"] = {"google": {"thought_signature": "sig+/="}}
    message = {"role": "assistant", "content": "I look.", "reasoning_details": details, "tool_calls": [call]}
    answer = {"id": "c", "object": "chat.completion", "model": "m",
              "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]}  # fmt: skip
    assert again("openai-chat-completions", answer)["messages"][1] == message
