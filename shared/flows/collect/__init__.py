"""The function `collect`: what a background call came to is fetched and settled, and what is left of it is deleted."""
