"""The rules there are, by dialect."""

from typing import Any

from tailrace.dialects.chat.lint import RULESET as CHAT
from tailrace.dialects.lint import Ruleset
from tailrace.dialects.messages.lint import RULESET as MESSAGES
from tailrace.dialects.native.lint import RULESET as NATIVE
from tailrace.dialects.responses.lint import RULESET as RESPONSES
from tailrace.dialects.upserts.lint import RULESET as UPSERTS

RULESETS: dict[str, Ruleset[Any]] = {one.dialect: one for one in (NATIVE, RESPONSES, CHAT, MESSAGES, UPSERTS)}
