"""What publishing needs: messages, their check before they are sent, options by field, waiting for the ends."""
