"""Failures played for real against the simulator: the scenes, what must hold in them, and how they are told."""
