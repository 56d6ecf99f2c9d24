"""The function `intake`: a message becomes a queued request, a cancellation or a rejection."""
