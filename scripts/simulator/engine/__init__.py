"""The story of a call and of a batch, and the state that both keep."""
