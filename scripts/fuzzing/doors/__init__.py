"""One module a door: what is sent there, and what must hold whatever was sent."""
