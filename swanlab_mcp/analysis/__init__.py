"""Pure functions for analysing metrics and configs. They perform no I/O and do not depend on MCP."""
