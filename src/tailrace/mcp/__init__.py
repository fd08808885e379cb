"""Tools from elsewhere: servers of the Model Context Protocol, over the official SDK (docs/mcp.md)."""
