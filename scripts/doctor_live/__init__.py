"""`renderlane doctor --live`: asks the API what the catalogue only believes, and proposes what to correct in it."""
