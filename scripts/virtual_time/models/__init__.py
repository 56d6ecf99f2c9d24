"""What the strategies run against or stand for: provider, fleet, store, topics, and Renderlane itself."""
