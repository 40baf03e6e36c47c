"""Realistic user questions about planted problems, and the facts that a correct answer must contain."""
