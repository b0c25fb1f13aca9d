"""Who is let in: whose address a connection counts for, how often that may dial, and what is left when it ended."""

from types import SimpleNamespace
from typing import Any

import pytest
from websockets.server import ServerProtocol

from chez_relay.counts import Counts
from chez_relay.door import Door, GuestConnection
from chez_relay.limits import Limits
from tests.relay.test_framing import Wire

HEADER = "X-Forwarded-For"


def door(**limits: float) -> Door:
    """One that trusts a proxy."""
    return Door(Limits(**limits), lambda: 0.0, Counts(), trusted=["10.0.0.0/8"], header=HEADER)  # type: ignore[arg-type]


def arrived(at: Door, host: str, behind: str = "") -> GuestConnection:
    """A connection that sent its request, which nobody has looked at yet."""
    async def handler(_: object) -> None:
        """Nobody serves it."""

    made = at.factory()(ServerProtocol(), SimpleNamespace(handler=handler, handler_tasks=set(),
                                                          is_serving=lambda: True))
    wire: Any = Wire()
    wire.get_extra_info = lambda name: (host, 1) if name == "peername" else None
    made.connection_made(wire)
    word = f"{HEADER}: {behind}\r\n" * bool(behind)
    made.data_received(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
                       b"MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n" + word.encode() + b"\r\n")
    return made


def admitted(made: GuestConnection) -> int:
    """How its request is answered."""
    assert made.request is not None
    refusal = made.door.admit(made, made.request)
    return 101 if refusal is None else refusal.status_code


@pytest.mark.parametrize(("host", "behind"), [("192.0.2.1", ""), ("10.0.0.1", "192.0.2.1")])
async def test_who_ended_before_its_request_was_looked_at_is_not_counted(host: str, behind: str) -> None:
    """The library has it looked at all the same: counted then, it would be for good, for it does not end again."""
    at = door(connections_per_address=2, dials_burst_per_address=100)
    for _ in range(40):
        made = arrived(at, host, behind)
        made.leave("memory")
        made.connection_lost(None)
        await made.handshake(at.admit)
    at.addresses.forget_idle()
    assert (len(at.guests), at.addresses.held, at.addresses.at("192.0.2.1").guests) == (0, 0, set())
    assert admitted(arrived(at, host, behind)) == 101


async def test_who_is_let_go_holds_nothing_from_then_on() -> None:
    """Though its socket is closed later: what others hold is not weighed with that."""
    at = door()
    made = arrived(at, "192.0.2.1")
    made.hold(5000)
    held = at.addresses.held
    made.leave("memory")
    made.hold(-5000)
    assert held >= 5000 and at.addresses.held == at.addresses.at("192.0.2.1").held == 0 and not at.guests


@pytest.mark.parametrize("host", ["10.0.0.1", "::ffff:10.0.0.1"])
async def test_dials_count_for_who_is_behind_a_proxy(host: str) -> None:
    """Each address behind it has its own, however the proxy's own is written; beyond that it is told, and no other."""
    at = door(dials_burst_per_address=2, dials_rate_per_address=0.001)
    told = [admitted(arrived(at, host, behind)) for behind in ("192.0.2.1",) * 3 + ("192.0.2.2",)]
    assert told == [101, 101, 429, 101] and at.counts.turned_away["dials"] == 1
