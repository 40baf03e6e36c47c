"""One public function for each question of a researcher: (client, *, typed arguments) -> ApiResponse.

A function's docstring is the description of the tool of the same name.
"""
