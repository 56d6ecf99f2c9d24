"""One module a door: what is sent there, and what must hold for every input."""
