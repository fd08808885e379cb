"""`python -m tailrace.store.migrations` brings the database up to date whose URL stands on its standard input.

On standard input, because anybody may read a process's arguments, and a URL may hold a password.
"""

import asyncio
import sys

from tailrace.schema.errors import SettingsError
from tailrace.store.migrations import migrate

try:
    asyncio.run(migrate(sys.stdin.readline().strip()))
except SettingsError as failure:
    sys.exit(failure.message)
