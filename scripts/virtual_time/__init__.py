"""Admission in virtual time: a provider, a fleet, arrivals and strategies as seeded events; nothing real is called."""
