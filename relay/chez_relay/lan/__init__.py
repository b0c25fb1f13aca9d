"""A relay that a device runs on its own network, for those who prove that they keep a space that it has."""
