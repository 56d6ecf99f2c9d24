"""Moments and days as others write and count them."""
