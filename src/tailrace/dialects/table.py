"""The dialects there are, by name."""

from tailrace.dialects.base import Dialect
from tailrace.dialects.native.encode import NATIVE
from tailrace.dialects.upserts.encode import UPSERTS

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (NATIVE, UPSERTS)}
