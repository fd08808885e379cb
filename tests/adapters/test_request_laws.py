"""Laws of every wire's request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.adapters.wires import WIRES
from tailrace.schema import codec
from tailrace.schema.errors import InvalidRequest
from tailrace.schema.request import NamedToolChoice, Tool
from tests.support.items import any_items, ask

TOOLS = [Tool(name="look")]
generations = st.fixed_dictionaries(
    {},
    optional={
        "instructions": st.text(max_size=5),
        "tools": st.sampled_from([None, [], TOOLS]),
        "tool_choice": st.sampled_from(["auto", "none", "required", NamedToolChoice(name="look")]),
        "reasoning_effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh"]),
        "thinking_budget": st.integers(-1, 50_000),
        "max_output_tokens": st.integers(1, 50_000),
        "temperature": st.floats(0, 2),
    },
)
models = st.sampled_from([
    "model-1", "gpt-4o", "claude-haiku-4-5", "claude-sonnet-5", "claude-opus-5-5", "gpt-oss:20b",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-opus-5-5", "amazon.nova-2-lite-v1:0",
    "gemini-2.5-pro", "gemini-3-pro",
])  # fmt: skip


def outcome(build, request):
    """The request as JSON, or the field that it was refused for."""
    try:
        return codec.encode(build(request, {}))
    except InvalidRequest as error:
        return error.field


@pytest.mark.parametrize("wire", sorted(WIRES))
@given(items=any_items, generation=generations, model=models)
def test_a_request_is_json_or_refused_by_name(wire, items, generation, model):
    """Whatever a conversation holds: JSON, the same each time, or InvalidRequest with a field; never another error."""
    request = ask(*items, model=model, **generation)
    build = WIRES[wire].build
    first, again = outcome(build, request), outcome(build, request)
    assert first
    assert first == again
