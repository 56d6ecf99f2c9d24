"""Getting the functions into a Google Cloud project: the bundle, and the way there and back."""
