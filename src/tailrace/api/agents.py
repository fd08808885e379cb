"""`GET /api/v2/agents`: what a submit's `agent_id` may be. What an agent is told stays with the server."""

from litestar import get
from msgspec import Struct

from tailrace.api.services import Injected


class Named(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """An agent of the settings, and the model that it asks, if that is its own. Where it is not `interactive`, it asks
    nobody about anything."""

    agent_id: str
    model_id: str | None = None
    interactive: bool = True


class AgentList(Struct, kw_only=True, frozen=True):
    """The agents, by name."""

    agents: list[Named]


@get("/api/v2/agents")
async def list_agents(services: Injected) -> AgentList:
    """The agents that the settings name."""
    known = sorted(services.settings.agents.items())
    return AgentList(
        agents=[Named(agent_id=name, model_id=agent.model, interactive=agent.interactive) for name, agent in known]
    )
