"""The HTTP server: the endpoints of the APIs, and the page and controls beside them."""
