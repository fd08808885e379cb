"""Where outputs are kept that are too long for the model: beside the log, by whoever runs the tools."""

from typing import Protocol


class Spill(Protocol):
    """Keeps whole outputs."""

    async def keep(self, run_id: str, call_id: str, data: bytes) -> str:
        """Keep a call's output (UTF-8 text), the same at each attempt. Returns the name it can be asked for by."""
