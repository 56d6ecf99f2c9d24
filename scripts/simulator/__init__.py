"""A stand-in for the Gemini image API: a server that speaks, draws, counts, limits, bills and fails as documented.

`provider` holds the model of the provider as values, `formats` the APIs' own words, `engine` the story of a call and of
a batch with their state, `api` the HTTP server. Each imports only those named before it.
"""
