"""Verbs that start something: the worker, requests, their cancellation and revival, the simulator."""
