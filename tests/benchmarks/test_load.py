"""What loads a relay counts what the relay sends, and says so when it can't go on: it doesn't wait for ever."""

import re
from typing import Any

import msgspec
import pytest

from chez_relay.server import serving
from chez_relay.storage.memory import MemoryStorage
from tests.benchmarks.loading import loading
from tests.relay.raw import until
from tests.relay.support import seed


@pytest.mark.parametrize("what", [
    {"do": "lone", "clients": 2, "each": 20, "followers": 2}, {"do": "lone", "clients": 2, "each": 20},
    {"do": "fanout", "clients": 3, "each": 200}], ids=["lone, followed", "lone", "fanout"])
async def test_a_load_ends_when_all_is_acknowledged_and_delivered(what: dict[str, Any]) -> None:
    """Entries that a relay passes on before they are durable count once, and their credit is given back once."""
    async with serving(MemoryStorage(seed("i")), "127.0.0.1", 0) as server, loading(server.port, **what) as process:
        out, errors = await process.communicate()
        assert not process.returncode, errors.decode()
        assert msgspec.json.decode(out)["seconds"] > 0


async def test_a_load_whose_follower_is_let_go_fails() -> None:
    """It does not wait for entries that nobody will send."""
    async with (serving(MemoryStorage(seed("i")), "127.0.0.1", 0) as server,
                loading(server.port, do="lone", clients=1, each=100_000, followers=1) as process):
        await until(lambda: sum(server.counts.requests.values()) > 100)
        _, follower = server.door.guests  # as they came
        follower.leave("room")
        _, errors = await process.communicate()
        assert process.returncode and re.search(r"Connection\w*Error", errors.decode()), errors
