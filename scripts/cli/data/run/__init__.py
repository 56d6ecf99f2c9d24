"""What publishing needs: messages, their check before they leave, options by field, waiting for the ends."""
