"""The stories: each file carries one core decision through the ports, from a message to its acknowledgement.

A flow that returns has put the next step on record: its message may be acknowledged. A flow that raises has not.
"""
