"""A port for a server that a test starts on its own, or starts again at the same address."""

from chez_relay.cluster.nodes import free_ports

__all__ = ("free_port",)


def free_port() -> int:
    """A port of loopback that nobody listens at, of those that the system gives to no connection meanwhile."""
    return free_ports(1)[0]
