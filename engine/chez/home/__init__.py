"""A home: what a device opens. One person's encrypted store and the spaces in it."""
