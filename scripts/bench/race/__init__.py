"""Renderlane against what one would take instead: the same requests, the same provider, the same faults."""
