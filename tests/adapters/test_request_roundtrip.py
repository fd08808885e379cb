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


def test_a6_signed_parts_of_the_gemini_wire():
    """Thoughts, texts, the provider's own parts and calls, each with its signature: the same parts in order."""
    parts = [
        {"text": "hm", "thought": True, "thoughtSignature": "AAAA"},
        {"text": "I look.", "thoughtSignature": "AAAB"},
        {"toolCall": {"id": "t", "toolType": "GOOGLE_SEARCH_WEB", "args": {}}, "thoughtSignature": "AAAC"},
        {"toolResponse": {"id": "t", "response": {"found": "x" * 99}}, "thoughtSignature": "AAAD"},
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"functionCall": {"id": "call_1", "name": "look", "args": {"at": "sky"}}, "thoughtSignature": "AAAE"},
    ]
    answer = {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}
    assert again("google-gemini", answer)["contents"][1] == {"role": "model", "parts": parts}


def test_a6_c18_blocks_of_the_converse_wire():
    """Reasoning with its signature, redacted reasoning, the provider's own tool and the call: the same, in order."""
    content = [
        {"reasoningContent": {"reasoningText": {"text": "let me see", "signature": "EqQB+/=="}}},
        {"reasoningContent": {"redactedContent": "RXE+/w=="}},
        {"text": "I look."},
        {"toolUse": {"toolUseId": "srv_1", "name": "nova_grounding", "type": "server_tool_use", "input": {"q": "sky"}}},
        {"toolResult": {"toolUseId": "srv_1", "type": "nova_grounding_result", "content": [{"text": "[HIDDEN]"}]}},
        {"toolUse": {"toolUseId": "call_1", "name": "look", "input": {"at": "sky"}}},
    ]
    answer = {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "tool_use",
              "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}}  # fmt: skip
    assert again("bedrock-converse", answer)["messages"][1] == {"role": "assistant", "content": content}


def test_a6_thinking_of_ollama():
    """Thinking, text and the call with its arguments as an object."""
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": {"at": "sky"}}}
    message = {"role": "assistant", "content": "I look.", "thinking": "hm", "tool_calls": [call]}
    answer = {"model": "m", "message": message, "done": True, "done_reason": "stop"}
    assert again("ollama", answer)["messages"][1] == message
