"""Where events, spans and metrics go: a log, a file, or a collector by OTLP."""
