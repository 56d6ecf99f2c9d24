"""The function `api`: HTTP requests for images. It translates; what it asks for goes the way of every message."""
