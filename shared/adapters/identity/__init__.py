"""Who is calling the console or the API: Identity-Aware Proxy, Cloud Run, or a caller on this machine."""
