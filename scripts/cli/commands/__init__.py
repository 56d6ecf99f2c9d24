"""One module for each verb: it parses the options and calls. Each verb has a `command`."""
