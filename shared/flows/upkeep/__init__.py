"""The functions `watch` and `bury`: what was left behind is found, and finished or given up."""
