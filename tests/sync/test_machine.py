"""What a space's sync makes of roles that end."""

from typing import cast

import pytest

from chez.errors import RelayUnreachable
from chez.sync.channel import Channel
from chez.sync.events import RolesEnded
from chez.sync.machine import SyncMachine
from chez.sync.replica import Replica
from chez.sync.session import ClientSession


def test_a_deletion_ends_the_connection_and_not_the_link() -> None:
    """Whether a space was deleted for good, the next connection learns from what the relay says to a login."""
    machine = SyncMachine(cast("Replica", None), 1, Channel(ClientSession("relay.test:1", bytes(32)), {}))
    with pytest.raises(RelayUnreachable):
        machine.handle(RolesEnded(bytes(32), "deleted"))


def test_a_rotation_opens_the_space_anew() -> None:
    """After a rotation the same connection goes on: the store is asked where to, and with which credentials."""
    machine = SyncMachine(cast("Replica", None), 1, Channel(ClientSession("relay.test:1", bytes(32)), {}))
    assert len(machine.handle(RolesEnded(bytes(32), "rotated"))) == 1 and not machine.sealing and not machine.idle
