"""What every program here shares: where the server is, which model and API are meant, and what to say.

A program is one client doing all it can of: text, tools, reasoning, errors. It asserts as it goes, and ends with 0.
"""

import os
from collections.abc import Callable

URL = os.environ["TAILRACE_URL"]
MODEL = os.environ["TAILRACE_MODEL"]
API = os.environ["TAILRACE_API"]

# What the scripted upstream answers is chosen by words in the prompt.
TEXT = "remember the river"
TEXT_ANSWER = "I will remember: the river"
TOOLS = "What is the weather?"
PARALLEL = "make parallel calls"
TOOL_ANSWER = "sunny in Paris"
PLACES = ("sunny in Paris", "sunny in Oslo", "sunny in Lima")
THINK = "think, then remember the river"
THOUGHT = "already written"
ERROR = "error"
LONG = "slow 20 long 2000"


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def run(*scenarios: Callable[[], object]) -> None:
    """One after the other; the name of the one that fails is in the traceback."""
    for scenario in scenarios:
        scenario()
