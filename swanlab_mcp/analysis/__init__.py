"""Pure functions over series and configs; no input, no output, no MCP."""
