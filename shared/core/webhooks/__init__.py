"""Result webhooks as values: endpoints, deliveries, signatures, and when a failed delivery is tried again."""
