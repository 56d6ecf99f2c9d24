"""Floods: a worker that is sent far more than it can render, and one that is started on a long backlog."""
