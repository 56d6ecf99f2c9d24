"""Firestore, Pub/Sub, Cloud Quotas and Cloud Monitoring."""
