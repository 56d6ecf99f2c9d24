"""What a limit is, and which source sets it: configuration, the provider's own account, or its answers."""
