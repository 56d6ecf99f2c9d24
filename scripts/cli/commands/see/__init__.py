"""Verbs that show what is or was, and change nothing."""
