"""The questions of researchers, one public function each: (client, *, typed arguments) -> ApiResponse.

A function's docstring is the description of the tool of the same name.
"""
