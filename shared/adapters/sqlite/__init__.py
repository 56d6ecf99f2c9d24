"""Store and topics in one SQLite file, for one machine."""
