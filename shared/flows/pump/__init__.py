"""The function `pump`: one leader, one tick after the other."""
