"""What the store says of requests, routes, waits and quotas."""
