"""The Cloud Functions: they translate an HTTP push into a flow's call, and its result into an answer."""
