"""The console: a web page for on-call, rendered here, small, without a front-end build."""
