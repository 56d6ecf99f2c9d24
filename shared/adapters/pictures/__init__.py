"""Encoded images made into others. The only importer of Pillow, which is loaded with the first image that needs it."""
