"""Images and reference images in buckets and folders."""
