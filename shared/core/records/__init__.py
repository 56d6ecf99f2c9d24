"""The stored documents of requests, attempts and batches as types: each field once, with its default for old ones."""
