"""What can go wrong with a tool call. The message is for the model: it says what to do otherwise.

ToolError
├── UnknownTool           there is no tool of this name
├── InvalidArguments      names the field at fault; nothing was run
├── ToolFailed            the tool itself says why; tools raise it
│   ├── OutsideWorkspace      the path leads out of the workspace
│   ├── SandboxUnavailable    the policy wants a sandbox, and there is none
│   └── AddressRefused        the address is no public one
├── ToolTimedOut          it took longer than its limit
├── ToolCancelled         its run was cancelled
└── ToolCrashed           it raised something else; the server's log has it

InvalidTool is the programmer's: a definition that makes no tool.
"""

from tailrace.schema.errors import TailraceError


class ToolError(TailraceError):
    """A call that did not do what was asked. `code` is the word for it in a result."""

    code = "tool_failed"


class UnknownTool(ToolError):
    """There is no tool of this name."""

    code = "unknown_tool"


class InvalidArguments(ToolError):
    """The arguments are no JSON object, or not of the tool's form. Nothing was run.

    `field` is the path of the field at fault, as in `plan[0].step`; None where they are no object at all.
    """

    code = "invalid_arguments"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ToolFailed(ToolError):
    """What a tool raises to say that it could not, and why."""


class OutsideWorkspace(ToolFailed):
    """The path leads out of the workspace."""

    code = "outside_workspace"


class SandboxUnavailable(ToolFailed):
    """The policy wants commands in a sandbox, and there is none here."""

    code = "sandbox_unavailable"


class AddressRefused(ToolFailed):
    """The address is not one of the public internet."""

    code = "address_refused"


class ToolTimedOut(ToolError):
    """It took longer than its limit."""

    code = "timeout"


class ToolCancelled(ToolError):
    """Its run was cancelled."""

    code = "cancelled"


class ToolCrashed(ToolError):
    """It raised what is no ToolError. What it was stands in the server's log: its words may hold secrets (rule 9)."""

    code = "tool_crashed"


class InvalidTool(TypeError):
    """A definition that makes no tool: the message names the function and the parameter."""
