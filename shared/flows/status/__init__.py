"""The one summary that screens and gauges read."""
