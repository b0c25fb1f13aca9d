"""A JetStream cluster of three nodes on this machine, to try a relay on one and to test it.

A real cluster has its nodes on machines of their own (docs/operations.md); the settings of
each node are the same as here.
"""
