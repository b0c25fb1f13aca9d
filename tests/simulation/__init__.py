"""Several devices and a relay under one seeded scheduler: real cores, a fake link, no clock, no threads."""
