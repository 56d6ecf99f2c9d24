"""The batch lane, whichever function calls it."""
