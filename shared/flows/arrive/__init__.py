"""The function `arrive`: a signed webhook of the provider becomes an arrival, once."""
