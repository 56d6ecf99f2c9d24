"""Dashboards from one source: the panels as values, written for Grafana and for Cloud Monitoring."""
