"""A JetStream cluster of three nodes on this machine, to try a relay on one and to test it.

A real cluster has its nodes on machines of their own, with passwords and TLS: docs/operations.md
has the whole settings of one.
"""
