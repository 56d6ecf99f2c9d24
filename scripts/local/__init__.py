"""The one-machine home: the functions, a courier in Pub/Sub's stead, and a clock for the watch, in one process."""
