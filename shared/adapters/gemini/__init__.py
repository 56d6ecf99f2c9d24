"""The Gemini API: its two request forms, its errors and its quota ids."""
