"""The stages of a tick, in this order: sweep, observe, plan, afford, decide, persist, hand out, park.

Each is one function. It takes the PumpState and the values of earlier stages, and returns a frozen value of its own; it
changes none of theirs. All stages read the one clock of the lead (`ServerTime`): a stage decides by the moment at which
it begins, except that observe and plan read the clock again after waiting for the store. What is written is stamped
with the time of the write.
"""
