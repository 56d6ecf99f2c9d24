"""The launch checklist: eight owners, and each item as a check that passes, fails or is unknown, with its remedy."""
