"""The chart of a race."""
def draw(race): return ""
