"""Questions as users ask them, on planted pathologies, with the facts that a right answer must contain."""
