"""The `renderlane` command. A command parses options and calls; a view turns values into text; data reads the store."""
