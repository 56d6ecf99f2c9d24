"""The function `api`: HTTP requests for images. It only translates; its requests are published like any message."""
