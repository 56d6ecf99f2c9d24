"""What the cloud would refuse is refused by every adapter of a port, on one machine too."""
