"""The operations behind the MCP tools: one public function per tool, with typed keyword arguments.

Each function takes the client as its first argument and returns an `ApiResponse`. Its docstring is the description of
the tool with the same name.
"""
