"""The `renderlane` command: one file for each verb, and the demo."""
