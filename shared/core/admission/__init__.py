"""Who starts when. Everything here runs inside one tick of the pump."""
