"""The function `collect`: the result of a background call is fetched and settled, and what is left of it is deleted."""
