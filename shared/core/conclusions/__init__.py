"""What the worker believes about something that requests share, on whose evidence, and for how long."""
