"""What can be done: tools, the workspace they are confined to, and how one call is run (docs/tools.md)."""

from tailrace.tools.context import ToolContext
from tailrace.tools.definition import Limits, ToolDefinition, tool
from tailrace.tools.errors import ToolFailed
from tailrace.tools.result import ToolResult

__all__ = ["Limits", "ToolContext", "ToolDefinition", "ToolFailed", "ToolResult", "tool"]
