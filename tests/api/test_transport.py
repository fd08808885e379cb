"""The way to one client: what its end is told of."""

import asyncio
import logging
from typing import cast

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tailrace.api.transport import Client


@pytest.mark.parametrize("is_whole", [True, False])
async def test_only_a_client_that_lacks_some_of_its_answer_is_one_that_left(*, is_whole: bool):
    """One that closes its connection behind the last byte is no reason to break off what is about to end."""
    transport = cast(asyncio.Transport, asyncio.Transport())
    logger = logging.getLogger("uvicorn.error")
    cycle = RequestResponseCycle(
        {"type": "http"}, transport, FlowControl(transport), logger, logger, False, [], asyncio.Event(), False, True,
        lambda: None,
    )  # fmt: skip
    told: list[str] = []
    client = Client(cycle)
    client.watch(lambda: told.append("left"))
    cycle.response_complete, cycle.disconnected = is_whole, not is_whole  # as uvicorn's `connection_lost` has it
    client.leave()
    assert told == ([] if is_whole else ["left"])
