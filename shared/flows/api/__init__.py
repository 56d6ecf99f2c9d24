"""The function `api`: requests by HTTP, published to the same topic and read from the same store."""
