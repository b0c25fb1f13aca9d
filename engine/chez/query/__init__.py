"""Reading: filters and read-only SQL over the projection."""
