"""A word to the service manager that started the relay: sd_notify(3), where there is one."""

import os
import socket
from contextlib import suppress

__all__ = ("tell",)


def tell(state: str) -> None:
    """Say `READY=1` or `STOPPING=1` to systemd; nothing where NOTIFY_SOCKET is not set."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
        to.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
