"""Person, device and epoch keys; pairing."""
