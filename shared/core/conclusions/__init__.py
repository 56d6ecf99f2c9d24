"""What the worker believes about something that requests share: on which evidence, and for how long."""
