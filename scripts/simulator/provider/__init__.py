"""The model of the provider: models, tokens, prices, quotas, latency, faults and pictures, as values."""
