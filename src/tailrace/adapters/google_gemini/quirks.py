"""Who differs how on the Gemini wire.

- `thinking`: "level" (a word), "budget" (a number of tokens) or "" where the model does not think.
- `levels`: the words that it knows, the least first. An effort it has no word for gets the next greater one.
- `budgets`: the tokens that each effort stands for; "none" is there where thinking can be turned off.
- `signed_calls`: must a call come back with a thought signature? Then one that has none, as after a change of model,
  gets the word that stands for it.
- `response_parts`: may a tool's response hold pictures? (Where not, they follow in a turn of the user's.)
- `call_ids`: may calls and their responses say their ids? (Where not, their order tells which belongs to which.)
- `service_tier`: where a tier is asked for: in the "body", in a "header" (Vertex), or nowhere ("no").

Facts: https://ai.google.dev/gemini-api/docs/thinking, https://ai.google.dev/gemini-api/docs/thought-signatures,
https://ai.google.dev/gemini-api/docs/function-calling,
https://cloud.google.com/vertex-ai/generative-ai/docs/priority-paygo, November 2026.
"""

from tailrace.adapters.base import Quirks
from tailrace.adapters.canonical import Rows

_PRO: Quirks = {"minimal": 128, "low": 2048, "medium": 8192, "high": 32768, "xhigh": 32768}
_FLASH: Quirks = {"none": 0, "minimal": 128, "low": 2048, "medium": 8192, "high": 24576, "xhigh": 24576}

# What holds for models yet to come, too: they will be more like the newest than like the oldest.
DEFAULTS: Quirks = {
    "thinking": "level",
    "levels": ["low", "medium", "high"],
    "budgets": {},
    "signed_calls": True,
    "response_parts": True,
    "call_ids": True,
    "service_tier": "body",
}

_UNSIGNED: Quirks = {"signed_calls": False, "response_parts": False}

MODELS: Rows = (
    (r"gemini-2\.5-pro", {**_UNSIGNED, "thinking": "budget", "budgets": _PRO}),
    (r"gemini-2\.5-flash-lite", {**_UNSIGNED, "thinking": "budget", "budgets": {**_FLASH, "minimal": 512}}),
    (r"gemini-2\.5-flash-image", {**_UNSIGNED, "thinking": ""}),
    (r"gemini-2\.5-|gemini-robotics", {**_UNSIGNED, "thinking": "budget", "budgets": _FLASH}),
    (r"gemini-(1|2\.0)|gemma|learnlm", {**_UNSIGNED, "thinking": ""}),
    (r"gemini-3-pro", {"levels": ["low", "high"]}),
    (r"gemini-3[\d.]*-flash", {"levels": ["minimal", "low", "medium", "high"]}),
)
