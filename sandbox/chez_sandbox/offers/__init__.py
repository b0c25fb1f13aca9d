"""A provider's catalogue: a public space with an append-only feed of signed bundles, the same for everybody."""
