"""Records: one Automerge document each, their values, types and collections."""
