"""The gate between a job's result and the outside: schema, bits, padding, sealing."""
