"""Verbs about what was spent, and what may be spent."""
