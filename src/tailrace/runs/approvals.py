"""Which calls a person is asked about first: an agent's policy, by tool and by rule on the arguments. Pure."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

from msgspec import Struct, field

Ask = Literal["never", "always"]
Rule = dict[str, str | list[str]]  # argument -> a pattern of its text (`docs/*`), or the beginning of its list


class ToolApproval(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool's calls are asked about, or not (`ask`), but for those that fit a rule of `never` or of `always`; what
    fits both is asked about."""

    ask: Ask = "always"
    never: list[Rule] = field(default_factory=list)
    always: list[Rule] = field(default_factory=list)


class ApprovalPolicy(Struct, frozen=True, kw_only=True):
    """`tools`: those that have a policy of their own, by name or pattern (the first that fits); all others have
    `default`."""

    default: Ask | ToolApproval = "never"
    tools: Mapping[str, Ask | ToolApproval] = field(default_factory=dict)

    def reason(self, tool: str, arguments: Mapping[str, Any]) -> str | None:
        """Why a call is asked about; None where it is not."""
        given = next((policy for name, policy in self.tools.items() if fnmatchcase(tool, name)), self.default)
        policy = ToolApproval(ask=given) if isinstance(given, str) else given
        for rule in policy.always:
            if _fits(rule, arguments):
                return f"{tool} is asked about where {_told(rule)}"
        if policy.ask == "never" or any(_fits(rule, arguments) and _is_plain(rule, arguments) for rule in policy.never):
            return None
        return f"{tool} is asked about, but for what is allowed" if policy.never else f"{tool} is always asked about"


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
