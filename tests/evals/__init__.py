"""Realistic user questions about planted problems, with the facts that a correct answer must contain."""
