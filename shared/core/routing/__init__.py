"""Which route a request may take, and why it may not take the others."""
