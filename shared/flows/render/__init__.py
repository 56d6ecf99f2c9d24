"""The function `render`: a released request becomes an attempt, and the attempt is settled."""
