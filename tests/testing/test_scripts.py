"""The scripted upstream's pure parts, and its way of running by hand (over sockets: test_upstream.py)."""

import asyncio
import os
import sys

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schema import codec
from tailrace.testing.moves import HttpError, Text
from tailrace.testing.scripts import example
from tailrace.testing.wires import messages
from tailrace.testing.wires.base import Memory, is_sealed, seal, sign
from tailrace.testing.wires.plan import make_plan

HELLO = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": True}


@given(st.text(), st.text())
def test_seals_are_told_from_forgeries(sealed, other):
    """A seal carries its text; another text's signature does not fit it."""
    assert is_sealed(seal(sealed))
    assert is_sealed(seal(sealed).replace(sign(sealed), sign(other))) == (sealed == other)
    assert not is_sealed(other) or other == seal(other)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, "Paris"),
        ({"type": "object"}, {}),
        ({"properties": {"a": {"type": "number"}}, "required": ["a"]}, {"a": 1.5}),
        ({"type": "object", "properties": {"a": {"type": ["boolean", "null"]}, "b": {}}}, {"a": True}),
        ({"enum": ["x", "y"]}, "x"),
        ({"type": "array"}, []),
    ],
)
def test_example_arguments_fit_their_schema(schema, value):
    """What a demo call is made with."""
    assert example(schema, "Paris") == value


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "x"}]},
        {"max_tokens": 0, "messages": [{"role": "user", "content": "x"}]},
        {"max_tokens": 9, "messages": []},
        {"max_tokens": 9, "messages": [{"role": "assistant", "content": "x"}]},
        {"max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
        {"max_tokens": 900, "messages": [{"role": "user", "content": "x"}], "thinking": {"budget_tokens": 1024}},
    ],
)
def test_messages_requests_that_the_vendor_refuses(body):
    """No max_tokens, no message, the wrong first role, empty text, a budget beyond the limit."""
    assert messages.WIRE.complaint({"model": "m", **body}, Memory())


def test_an_http_error_is_no_part_of_an_answer():
    """A script that has one further on is wrong, and says so."""
    with pytest.raises(ValueError, match="HttpError"):
        make_plan([Text("a"), HttpError(500)], 1)


async def test_it_runs_by_hand():
    """`python -m tailrace.testing.upstream` prints its URL and serves."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tailrace.testing.upstream", "--port", "0", stdout=asyncio.subprocess.PIPE, env=os.environ
    )
    try:
        url = (await process.stdout.readline()).decode().strip()
        async with (
            aiohttp.ClientSession() as client,
            client.post(f"{url}/chat/completions", data=codec.encode(HELLO)) as response,
        ):
            assert response.status == 200
            assert (await response.read()).endswith(b"data: [DONE]\n\n")
    finally:
        process.terminate()
        await process.communicate()
