"""What an operator reads, or changes by hand."""
