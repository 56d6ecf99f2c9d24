"""What a plan or a drill came to, as text."""
