"""Verbs that show the present or the past, and change nothing."""
