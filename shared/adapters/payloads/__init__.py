"""What adapters do with foreign bytes and text: read images and members of answers, check addresses, remove secrets."""
