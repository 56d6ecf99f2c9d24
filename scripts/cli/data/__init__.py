"""What commands read and write: the store, files, the environment and the standard streams."""
