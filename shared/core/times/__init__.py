"""Times and days in other people's formats and calendars."""
