"""A flood that another figure is measured beside is told of where it was none."""

import pytest

from chez_relay.server import serving
from chez_relay.storage.memory import MemoryStorage
from tests.benchmarks.loading import loading
from tests.relay.raw import until
from tests.relay.support import seed


@pytest.mark.parametrize(("each", "ends", "said"), [
    (20_000, False, ""), (20_000, True, "a part of it was let go"), (60, False, "there was not enough of it")],
    ids=["a flood", "cut off", "over"])
async def test_a_flood_that_ended_before_it_should_is_told(each: int, ends: bool, said: str) -> None:
    """Its connections are there to the end, and have more to send."""
    async with (serving(MemoryStorage(seed("i")), "127.0.0.1", 0) as server,
                loading(server.port, do="flood", clients=2, each=each, window=20) as process):
        assert process.stdout is not None
        assert await process.stdout.readline() == b"{}\n"
        if ends:
            next(iter(server.door.guests)).leave("room")
            await until(lambda: server.connections == 1)
        elif each < 100:
            await until(lambda: sum(server.counts.requests.values()) >= 2 * each)
        _, errors = await process.communicate(b"")
        assert said in errors.decode() and bool(said) is bool(process.returncode)
