"""Results reach a tenant's own endpoints: a delivery for each, signed, attempted for a day, replayed on demand."""
