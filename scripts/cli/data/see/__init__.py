"""What the store says about requests, routes, waits and quotas."""
