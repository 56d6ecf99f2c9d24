"""Changing flags by hand, and recording who did."""
