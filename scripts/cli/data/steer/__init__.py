"""Changing flags by hand, and noting who did."""
