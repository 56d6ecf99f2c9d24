"""Routing flags from another system, or from none."""
