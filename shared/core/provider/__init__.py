"""One call to a provider, and every way in which it can end."""
