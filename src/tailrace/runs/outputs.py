"""Outputs of tools that are too long for the model, kept whole in the store (`tools.spill.Spill`)."""

from dataclasses import dataclass
from urllib.parse import quote

from tailrace.store.base import Store


@dataclass(frozen=True, slots=True)
class Outputs:
    """Keeps them under the path that the API gives them by."""

    store: Store

    async def keep(self, run_id: str, call_id: str, data: bytes) -> str:
        """See `Spill.keep`. Raises NotReady."""
        await self.store.keep_output(run_id, call_id, data)
        return f"/api/v2/runs/{run_id}/outputs/{quote(call_id, safe='')}"
