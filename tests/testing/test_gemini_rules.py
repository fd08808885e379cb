"""What the scripted Gemini refuses, as Google does."""

import pytest

from tailrace.testing.wires.base import Memory, sign
from tailrace.testing.wires.gemini import WIRE
from tailrace.testing.wires.gemini_rules import UNSIGNED, sign_call

USER, MODEL = ({"role": who, "parts": [{"text": "x"}]} for who in ("user", "model"))
CALL = {"id": "c1", "name": "look", "args": {"at": "é"}}
RESPONSE = {"id": "c1", "name": "look", "response": {"output": "x"}}


def complaint(*contents, memory=None, **fields):
    body = {"contents": list(contents) or [USER], "model": "m", "method": "generateContent", "api": "v1beta", **fields}
    return WIRE.complaint(body, memory or Memory())


def calling(*calls, **signature):
    return {"role": "model", "parts": [{"functionCall": call, **signature} for call in calls]}


def answering(*responses, more=()):
    return {"role": "user", "parts": [*({"functionResponse": response} for response in responses), *more]}


def test_a_legal_request_is_taken():
    """Calls by id in any order, pictures behind the responses, every field at its place."""
    other = {**CALL, "id": "c2"}
    picture = {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}
    history = [USER, calling(CALL, other), answering({**RESPONSE, "id": "c2"}, RESPONSE), picture]
    schema = {"type": "object", "properties": {"at": {"type": "string", "enum": ["x", 1]}}, "$defs": {}}
    assert complaint(
        *history,
        systemInstruction={"parts": [{"text": "x"}]},
        tools=[{"functionDeclarations": [{"name": "look", "parametersJsonSchema": schema}]}, {"googleSearch": {}}],
        toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]}},
        generationConfig={"thinkingConfig": {"thinkingLevel": "low"}, "responseMimeType": "application/json",
                          "responseJsonSchema": schema, "logprobs": 2, "responseLogprobs": True},
    ) is None  # fmt: skip


@pytest.mark.parametrize(
    "contents",
    [
        [{"role": "assistant", "parts": [{"text": "x"}]}],
        [{"role": "user", "parts": []}],
        [{"role": "user", "parts": [{"text": ""}]}],
        [{"role": "user", "parts": [{"thought": True}]}],
        [{"role": "user", "parts": [{"text": "x", "inlineData": {"mimeType": "a/b", "data": "AAAA"}}]}],
        [{"role": "user", "parts": [{"inlineData": {"data": "AAAA"}}]}],
        [{"role": "user", "parts": [{"inlineData": {"mimeType": "a/b", "data": "?"}}]}],
        [{"role": "user", "parts": [{"text": "x", "odd": 1}]}],
        [MODEL, USER],
        [USER, MODEL],
        [USER, USER],
        [USER, MODEL, MODEL, USER],
        [USER, calling(CALL), USER],
        [USER, calling(CALL, {**CALL, "id": "c2"}), answering(RESPONSE)],
        [USER, calling(CALL, CALL), answering(RESPONSE, RESPONSE)],
        [answering(RESPONSE)],
        [USER, MODEL, answering(RESPONSE)],
        [USER, calling(CALL), answering({**RESPONSE, "name": "other"})],
        [USER, calling(CALL), answering({**RESPONSE, "id": "c2"})],
        [USER, calling(CALL), answering({"name": "look", "response": {}})],
        [USER, calling(CALL), answering({**RESPONSE, "response": "x"})],
        [USER, calling(CALL), answering(RESPONSE, more=[{"text": "x"}])],
        [USER, calling(CALL, thoughtSignature="AAAA"), answering(RESPONSE)],
        [USER, {"role": "model", "parts": [{"text": "x", "thoughtSignature": sign("y")}]}, USER],
    ],
)
def test_a_conversation_that_is_refused(contents):
    """Roles, parts, pairs and signatures."""
    assert complaint(*contents)


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "countTokens"},
        {"model_id": "x"},
        {"tools": [{"functionDeclarations": [{"name": "9x"}]}]},
        {"tools": [{"functionDeclarations": [{"name": "x"}, {"name": "x"}]}]},
        {"tools": [{"functionDeclarations": [{"name": "x", "strict": True}]}]},
        {"tools": [{"functionDeclarations": [{"name": "x", "parametersJsonSchema": {"pattern": "x"}}]}]},
        {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
        {"toolConfig": {"functionCallingConfig": {"mode": "SOME"}}},
        {"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": []}}},
        {"generationConfig": {"max_tokens": 1}},
        {"generationConfig": {"thinkingConfig": {"thinkingLevel": "low", "thinkingBudget": 1}}},
        {"generationConfig": {"thinkingConfig": {"thinkingLevel": "xhigh"}}},
        {"generationConfig": {"stopSequences": list("abcdef")}},
        {"generationConfig": {"logprobs": 1}},
        {"generationConfig": {"responseJsonSchema": {}}},
        *(
            {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": {"items": schema}}}
            for schema in ({"const": 1}, {"$ref": "#", "title": "x"}, {"enum": [None]}, {"anyOf": [{"not": {}}]})
        ),
    ],
)
def test_a_field_that_is_refused(fields):
    """Unknown ones, and those that contradict each other."""
    assert complaint(**fields)


def test_c18_a_signature_comes_back_as_it_was_sent():
    """The call's may be neither left out nor replaced, but on another model; one that nobody made is refused."""
    memory = Memory()
    memory.keep("m", "c1", [{"thoughtSignature": sign_call(CALL)}])
    answer = answering(RESPONSE)
    assert complaint(USER, calling(CALL, thoughtSignature=sign_call(CALL)), answer, memory=memory) is None
    assert complaint(USER, calling(CALL), answer, memory=memory)
    assert complaint(USER, calling(CALL, thoughtSignature=UNSIGNED[0]), answer, memory=memory)
    assert complaint(USER, calling(CALL, thoughtSignature=UNSIGNED[0]), answer, model="n", memory=memory) is None
    altered = {**CALL, "args": {}}
    assert complaint(USER, calling(altered, thoughtSignature=sign_call(CALL)), answer)
