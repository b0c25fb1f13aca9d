"""What a space's sync makes of events that end its connection."""

from typing import cast

import pytest

from chez.errors import RelayUnreachable
from chez.sync.events import RolesEnded
from chez.sync.machine import SyncMachine
from chez.sync.replica import Replica
from chez.sync.session import ClientSession


@pytest.mark.parametrize("code", ["rotated", "deleted"])
def test_roles_that_end_end_the_connection_and_not_the_link(code: str) -> None:
    """Nothing comes any more for roles that ended: the next connection learns what the relay says to a login."""
    machine = SyncMachine(cast("Replica", None), 1, ClientSession("relay.test:1", bytes(32)))
    with pytest.raises(RelayUnreachable):
        machine.handle(RolesEnded(bytes(32), code))
