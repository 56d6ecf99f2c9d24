"""Every scenario of admission in virtual time, beside the usual strategies."""
