"""What several benches share: processes, load, progress, and the client that one would write instead."""
