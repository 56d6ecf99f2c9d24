"""Verbs that change by hand where requests go and what a tenant may do."""
