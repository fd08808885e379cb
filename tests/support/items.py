"""Short ways to write items, runs and requests, and hypothesis strategies for them."""

from hypothesis import strategies as st

from tailrace.fold.compaction import compaction_item
from tailrace.schema.items import (
    CancelledItem,
    ErrorItem,
    FunctionCallItem,
    FunctionCallOutputItem,
    MessageItem,
    Opaque,
    ProviderItem,
    ReasoningItem,
    ScriptExecutionItem,
    ScriptExecutionOutputItem,
)
from tailrace.schema.request import Generation, ModelRequest
from tailrace.schema.response import Response

HERE = ("here", "model-1")
ELSEWHERE = ("elsewhere", "model-2")


def user(text="hello", **fields):
    return MessageItem(id="u", content=text, origin="user", **fields)


def agent(text="hi", **fields):
    return MessageItem(id="a", content=text, **fields)


def system(text):
    return MessageItem(id="s", content=text, origin="system")


def opaque(kind, data, home=HERE):
    return Opaque(provider_id=home[0], model_id=home[1], kind=kind, data=data)


def thought(text="", kind=None, data="", home=HERE, **fields):
    return ReasoningItem(id="rs_1", content=text, opaque=opaque(kind, data, home) if kind else None, **fields)


def call(call_id="c1", arguments="{}", name="look", **fields):
    return FunctionCallItem(id=f"fc_{call_id}", name=name, arguments=arguments, call_id=call_id, **fields)


def output(call_id="c1", text="done", success=True, **fields):
    return FunctionCallOutputItem(id=f"out_{call_id}", call_id=call_id, output=text, success=success, **fields)


def ask(*items, model=HERE[1], provider=HERE[0], stream=True, **generation):
    """A model request with these items."""
    return ModelRequest(
        provider_id=provider, model_id=model, items=list(items), generation=Generation(**generation), stream=stream
    )


def run(*items, provider=HERE[0], model=HERE[1], finish_reason="stop"):
    """A run that has ended, with these items."""
    return Response(
        id="run", turn_id="turn", thread_id="thread", model_id=model, provider_id=provider, created_at=1, updated_at=1,
        status="complete", output_items=list(items), steps=[], finish_reason=finish_reason, last_seq=1,
    )  # fmt: skip


# --- any items ---------------------------------------------------------------------------------------------------

texts = st.text(max_size=8)
ids = st.sampled_from(["c1", "c2", "c1_2", "functions.look:0", "", "x" * 80])
kinds = st.sampled_from([
    "signature", "redacted_thinking", "reasoning_signature", "redacted_content", "encrypted_content",
    "thoughtSignature/text", "thoughtSignature/functionCall", "other",
])  # fmt: skip
opaques = st.builds(opaque, kinds, texts, st.sampled_from([HERE, ELSEWHERE]))
data_urls = st.sampled_from(
    ["data:image/png;base64,AAAA", "data:application/pdf;base64,AAAA", "data:text/plain,hi", ""]
)
part_tables = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": texts}),
    st.fixed_dictionaries({"type": st.just("refusal"), "refusal": texts}),
    st.fixed_dictionaries({"type": st.just("image"), "url": st.one_of(data_urls, st.just("https://host/a.png"))}),
    st.fixed_dictionaries({"type": st.just("image"), "file_id": st.just("file_1")}),
    st.fixed_dictionaries({"type": st.just("file"), "data": data_urls, "filename": texts}),
)
argument_texts = st.one_of(st.sampled_from(["", "{}", '{"a":1}', "[1]", '{"a":', "null", "[" * 5000]), texts)


def _parts(tables):
    from tailrace.schema import codec  # here, so that the short ways above need nothing of it
    from tailrace.schema.items import Part

    return codec.convert(tables, list[Part]) if tables else None


parts = st.lists(part_tables, max_size=3).map(_parts)
messages = st.builds(
    MessageItem, id=texts, content=texts, origin=st.sampled_from(["user", "agent", "system"]), parts=parts
)
whole_items = st.one_of(
    messages,
    st.builds(ReasoningItem, id=texts, content=texts, opaque=st.one_of(st.none(), opaques)),
    st.builds(
        FunctionCallItem, id=texts, name=st.sampled_from(["look", ""]), arguments=argument_texts, call_id=ids,
        kind=st.sampled_from([None, "function", "custom"]),
    ),
    st.builds(FunctionCallOutputItem, id=texts, call_id=ids, output=texts, success=st.booleans(), parts=parts),
    st.builds(
        ProviderItem, id=texts,
        provider_type=st.sampled_from(["web_search_call", "server_tool_use", "toolUse", "toolResult", "odd"]),
        data=st.sampled_from([
            {"type": "web_search_call", "id": "ws_1"}, {"type": "server_tool_use", "id": "st_1"}, 7,
            {"toolUse": {"type": "server_tool_use"}}, {"toolResult": {"content": 7}}, {"toolUse": 7},
        ]),
    ),
    st.builds(compaction_item, texts, texts, user_tokens=st.integers(-1, 300), waiting=st.integers(-1, 3)),
    st.builds(ScriptExecutionItem, id=texts, code=texts, language=st.just("python")),
    st.builds(
        ScriptExecutionOutputItem, id=texts, script_id=texts, result=texts, success=st.booleans(), logs=st.just([]),
        operations=st.just([]),
    ),
)  # fmt: skip
failed_items = st.one_of(
    st.builds(ErrorItem, id=texts, code=texts, message=texts, partial=st.one_of(st.none(), whole_items)),
    st.builds(CancelledItem, id=texts, partial=st.one_of(st.none(), whole_items)),
)
any_items = st.lists(st.one_of(whole_items, failed_items), max_size=12)
