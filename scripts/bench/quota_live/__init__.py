"""Admission for real: worker processes, emulators, enforced limits, kills."""
