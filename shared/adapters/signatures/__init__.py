"""Whether a webhook of the Gemini API is genuine: by tokens of its key set, or by a shared secret."""
