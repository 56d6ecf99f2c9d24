"""`catalogue.toml` as values, and the prices in it."""
