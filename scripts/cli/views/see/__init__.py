"""Requests, their attempts and spans, and quotas as tables, lines and pages."""
