"""Immutable values without a rule of the domain. Imports nothing of ours."""
