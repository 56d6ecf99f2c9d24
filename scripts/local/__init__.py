"""The one-machine home: the functions, a courier instead of Pub/Sub, and a clock for the watch, in one process."""
