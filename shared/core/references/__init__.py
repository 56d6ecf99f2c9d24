"""The reference images of one request: how many and how large they may be, and how errors name them."""
