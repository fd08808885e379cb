"""Agents as a run meets them: what its model is offered, which calls are the harness's, and what holds for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tailrace.fold.compaction import CompactionPolicy
from tailrace.runs.approvals import ApprovalPolicy, Ask, ToolApproval, is_escalated
from tailrace.runs.step import NO_TOOLS, Policy, Ruling
from tailrace.schema.errors import InvalidRequest, SettingsError
from tailrace.schema.items import FunctionCallItem
from tailrace.schema.request import Generation, HostedTool, RunRequest
from tailrace.tools.errors import ToolError

if TYPE_CHECKING:  # what tools stand on is only for those who have agents
    from tailrace.tools.registry import Toolset
    from tailrace.tools.running import ToolRunner

CONFINED = "not executed: {} cannot leave the sandbox here; do without"
UNATTENDED = "not executed: nobody is there to be asked ({}); do without"

_USUAL = CompactionPolicy()
_NONE: Mapping[str, CompactionPolicy] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent with tools. `runner` runs calls in its workspace; an approval is waited for `approval_s` seconds. Where
    it is not `interactive`, nobody is there to be asked."""

    toolset: "Toolset"
    approvals: ApprovalPolicy
    policy: Policy
    runner: "ToolRunner"
    approval_s: float
    interactive: bool = True

    def offered(self, generation: Generation) -> Generation:
        """With the agent's tools before the client's own."""
        own = self.toolset.offers(self._escalates)
        return replace(generation, tools=[*own, *(generation.tools or ())])

    def _escalates(self, tool: str) -> bool:
        return self.interactive and self.approvals.escalates(tool)

    def rule(self, call: FunctionCallItem) -> Ruling:
        """What holds for a call."""
        from tailrace.tools.running import bind

        try:
            bound = bind(self.toolset, call)
        except ToolError as error:
            return Ruling(refusal=error.message)
        name = bound.tool.name
        if is_escalated(bound.arguments) and not self._escalates(name):
            return Ruling(refusal=CONFINED.format(name))
        asked = self.approvals.reason(name, bound.arguments)
        if asked is not None and not self.interactive:
            return Ruling(refusal=UNATTENDED.format(asked))
        return Ruling(idempotent=bound.tool.idempotent, asked=asked)


def approval_policy(given: Mapping[str, Ask | ToolApproval], toolset: "Toolset", place: str) -> ApprovalPolicy:
    """An agent's policy as the settings have it: by tool, alias or pattern, and `default`.

    Raises SettingsError where a name means none of its tools: a slip must not let calls pass unasked. `place`: the
    setting, for the error.
    """
    tools: dict[str, Ask | ToolApproval] = {}
    known = toolset.names()
    for name, policy in given.items():
        if name == "default":
            continue
        meant = known.get(name, name)
        own = {tool for tool in known.values() if fnmatchcase(tool, meant)}
        if not own and not toolset.may_have(meant):
            raise SettingsError(f"{place}: the agent has no tool {name!r}; it has: {', '.join(known)}")
        ask = policy if isinstance(policy, str) else policy.ask
        if ask == "on_request" and not any(toolset.get(tool).escalates for tool in own):
            raise SettingsError(f"{place}: calls of {name!r} cannot ask for leave: on_request would never ask")
        tools[meant] = policy
    return ApprovalPolicy(default=given.get("default", "never"), tools=tools)


class Agents:
    """The agents that have tools, by name; `policy` is for all other runs. `compactions`: of agents whose conversations
    are summed up otherwise than all others' (`compaction`)."""

    def __init__(
        self,
        agents: Mapping[str, Agent],
        policy: Policy,
        compaction: CompactionPolicy = _USUAL,
        compactions: Mapping[str, CompactionPolicy] = _NONE,
    ) -> None:
        self._agents = agents
        self._policy = policy
        self._compaction = compaction
        self._compactions = compactions

    def of(self, run: RunRequest) -> Agent | None:
        """The run's agent; None where it has none, or one without tools."""
        return self._agents.get(run.agent_id) if run.agent_id is not None else None

    async def ready(self, run: RunRequest) -> None:
        """Returns when it is known which tools the run's agent has: servers that offer some may be starting."""
        agent = self.of(run)
        if agent is not None:
            await agent.toolset.ready()

    def policy(self, run: RunRequest) -> Policy:
        """How far the run may go."""
        agent = self.of(run)
        return agent.policy if agent is not None else self._policy

    def compaction(self, run: RunRequest) -> CompactionPolicy | None:
        """When the run's conversation is summed up. None for those of other protocols: their clients keep their
        conversations themselves, and make them short when they are told that they are too long."""
        if run.protocol != "native":
            return None
        return self._compactions.get(run.agent_id or "", self._compaction)

    def rule(self, run: RunRequest, call: FunctionCallItem) -> Ruling:
        """What holds for a call that is the harness's."""
        agent = self.of(run)
        return agent.rule(call) if agent is not None else NO_TOOLS

    def names(self, agent_id: str | None) -> list[str]:
        """The tools that an agent's model is offered."""
        agent = self._agents.get(agent_id) if agent_id is not None else None
        return [offer.name for offer in agent.toolset.offers()] if agent is not None else []

    def check(self, agent_id: str | None, generation: Generation) -> None:
        """Raises InvalidRequest: a tool of the client has the name of one that its agent has."""
        agent = self._agents.get(agent_id) if agent_id is not None else None
        taken = self.names(agent_id)
        for index, name in enumerate(client_tools(generation)):
            if name in taken or (agent is not None and agent.toolset.may_have(name)):
                raise InvalidRequest(f"agent {agent_id!r} has a tool {name!r} itself", field=f"tools[{index}].name")


def client_tools(generation: Generation) -> list[str]:
    """The names of the tools that the client runs."""
    return [tool.name for tool in generation.tools or () if not isinstance(tool, HostedTool)]
