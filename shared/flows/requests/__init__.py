"""Steps that any function may take with one request."""
