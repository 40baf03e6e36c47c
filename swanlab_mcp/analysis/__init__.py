"""Pure functions over series and configs, without I/O or MCP."""
