"""One module for each verb, or group of commands below one: it parses the options and calls. Each has a `command`."""
