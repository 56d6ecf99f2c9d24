"""What crosses Pub/Sub. Each message is parsed once, here."""
