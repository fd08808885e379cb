"""The dialects there are, by name."""

from tailrace.dialects.base import Dialect
from tailrace.dialects.chat.encode import CHAT
from tailrace.dialects.messages.encode import MESSAGES
from tailrace.dialects.native.encode import NATIVE
from tailrace.dialects.responses.encode import RESPONSES
from tailrace.dialects.upserts.encode import UPSERTS

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (NATIVE, UPSERTS, RESPONSES, CHAT, MESSAGES)}
