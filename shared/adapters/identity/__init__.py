"""Who is calling the console: Identity-Aware Proxy, or a caller on this machine."""
