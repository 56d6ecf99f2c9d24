"""A stand-in for the Gemini image API: a server that speaks, draws, counts, limits, bills and fails as documented.

A call passes through: server, app, routes (HTTP), interactions or generate_content (the API's own words), call (the
story: key, faults, quota, ask, drawing, bill), answer (back onto the wire). control and page look in from the side;
quota_api tells limits and usage; simulation holds the state; scripted says what faults do; models, limits, latency,
tokens and problems are values.
"""
