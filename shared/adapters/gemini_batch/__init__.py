"""The Batch API of Gemini: files of lines, the state of a batch, and its answers."""
