"""What the cloud would refuse is also refused on one machine, by every adapter of a port."""
