"""Verbs to use before traffic rises: forecasts, drills, the launch checklist."""
