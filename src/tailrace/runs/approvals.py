"""Which calls a person is asked about first: an agent's policy, by tool and by rule on the arguments. Pure."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

from msgspec import Struct, field

from tailrace.schema.request import ESCALATION

_MOST_WORDS = 200  # characters of what the model says for itself

Ask = Literal["never", "always", "on_request"]
Rule = dict[str, str | list[str]]  # argument -> a pattern of its text (`docs/*`), or the beginning of its list


class ToolApproval(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool's calls are asked about, or not, or where the model itself asks for leave (`ask`), but for those that fit
    a rule of `never` or of `always`; what fits both is asked about."""

    ask: Ask = "always"
    never: list[Rule] = field(default_factory=list)
    always: list[Rule] = field(default_factory=list)


class ApprovalPolicy(Struct, frozen=True, kw_only=True):
    """`tools`: those that have a policy of their own, by name or pattern (the first that fits); all others have
    `default`."""

    default: Ask | ToolApproval = "never"
    tools: Mapping[str, Ask | ToolApproval] = field(default_factory=dict)

    def of(self, tool: str) -> ToolApproval:
        """What holds for a tool, by its name."""
        given = next((policy for name, policy in self.tools.items() if fnmatchcase(tool, name)), self.default)
        return ToolApproval(ask=given) if isinstance(given, str) else given

    def escalates(self, tool: str) -> bool:
        """May a call of the tool ask for leave to do more than it may? Where nobody is asked, nobody can give it."""
        return self.of(tool).ask != "never"

    def reason(self, tool: str, arguments: Mapping[str, Any]) -> str | None:
        """Why a call is asked about; None where it is not. No rule lets one pass that asks for more than it may."""
        policy = self.of(tool)
        if is_escalated(arguments):
            why = str(arguments.get("justification") or "it does not say why")
            return f"{tool} asks to run outside the sandbox: {why[:_MOST_WORDS]}"
        for rule in policy.always:
            if _fits(rule, arguments):
                return f"{tool} is asked about where {_told(rule)}"
        allowed = any(_fits(rule, arguments) and _is_plain(rule, arguments) for rule in policy.never)
        if policy.ask != "always" or allowed:
            return None
        return f"{tool} is asked about, but for what is allowed" if policy.never else f"{tool} is always asked about"


def is_escalated(arguments: Mapping[str, Any]) -> bool:
    """Does the call ask for leave to do more than it may?"""
    return arguments.get(ESCALATION) is True


def _fits(rule: Rule, arguments: Mapping[str, Any]) -> bool:
    return all(_matches(wanted, arguments.get(name)) for name, wanted in rule.items())


def _matches(wanted: str | Sequence[str], value: object) -> bool:
    """Text by its pattern, a list by its beginning."""
    if isinstance(wanted, str):
        return isinstance(value, str) and fnmatchcase(value, wanted)
    return isinstance(value, list) and value[: len(wanted)] == list(wanted)


def _is_plain(rule: Rule, arguments: Mapping[str, Any]) -> bool:
    """Does what the rule looks at mean what it says? `docs/../secrets` fits `docs/*`, and is not there."""
    return all(".." not in arguments[name].split("/") for name, wanted in rule.items() if isinstance(wanted, str))


def _told(rule: Rule) -> str:
    wanted = {name: pattern if isinstance(pattern, str) else " ".join(pattern) for name, pattern in rule.items()}
    return " and ".join(f"{name} is `{pattern}`" for name, pattern in wanted.items())
