"""Provider gateways: other contracts that serve the same models."""
