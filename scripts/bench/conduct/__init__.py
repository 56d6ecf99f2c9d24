"""The provider fails in every known way; plain google-genai takes the same requests in the same run."""
