"""Flags and gateways as tables."""
