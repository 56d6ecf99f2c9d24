"""The function `api`: what a caller asks by HTTP, published to the same topic and read from the same store."""
