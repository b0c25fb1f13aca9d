"""The formats a device and a relay share: frames, envelopes, inbox items, limits.

Nothing in this package holds a key, does I/O or imports another package of Chez, so
that the relay, which imports it, stays blind by construction.
"""
