"""Everything that is reported is declared here first: events, spans, metrics, and the words that screens use."""
