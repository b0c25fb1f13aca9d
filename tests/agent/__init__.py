"""The owner of a home, from its socket."""
