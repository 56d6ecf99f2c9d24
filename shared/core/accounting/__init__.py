"""Where money is written down, and what it adds up to."""
