"""Flows: each carries one core decision through the ports, from a message to its acknowledgement.

A flow that returns has put the next step on record: its message may be acknowledged. A flow that raises has not.
Each package belongs to one function, or holds steps that several functions share. An import goes down only.
"""
