"""Converts encoded images. The only importer of Pillow, which is loaded with the first image that needs it."""
