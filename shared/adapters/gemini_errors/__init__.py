"""What an error of the Gemini API, of Vertex AI or of their batches means: codes, members, phrases, quota ids."""
