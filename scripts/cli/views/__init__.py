"""Values become tables, charts, pages and lines."""
