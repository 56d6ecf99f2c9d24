"""Calling addresses that tenants named: public ones over HTTPS, and on one machine those of this machine."""
