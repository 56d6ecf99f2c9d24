"""The one-machine home: the functions, a courier instead of Pub/Sub, and a timer for the watch, in one process."""
