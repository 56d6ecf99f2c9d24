"""Costs as tables, estimates and charts."""
