"""What a relay on a cluster does for ever ends with the relay, also when an answer of the cluster comes just then."""

import asyncio
import json
from typing import Any, cast

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError

from chez_relay.storage.jetstream.engine import Engine
from chez_relay.storage.jetstream.ephemeral import Ephemerals
from chez_relay.storage.jetstream.news import News
from chez_relay.storage.jetstream.places import Places

TURNS = 100
"""Of the loop, in which whoever was cancelled ends; none of them waits for anything."""


def asking(monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client of nats-py whose requests go nowhere: the test answers them."""
    client = Client()
    client._resp_sub_prefix = bytearray(b"answers.")

    async def publish(*_: Any, **__: Any) -> None:
        """Say nothing."""

    async def subscribe(*_: Any, **__: Any) -> None:
        raise ConnectionClosedError

    monkeypatch.setattr(client, "publish", publish)
    monkeypatch.setattr(client, "subscribe", subscribe)
    return client


async def answered(client: Client, answer: object, headers: dict[str, str] | None = None) -> None:
    """Answer the request that waits."""
    for _ in range(TURNS):
        if client._resp_map:
            break
        await asyncio.sleep(0)
    (waiting,) = client._resp_map.values()
    waiting.set_result(Msg(client, "answers.x", data=json.dumps(answer).encode(), headers=headers))


async def ended(task: "asyncio.Task[Any]") -> bool:
    """Whether a task that was cancelled ended by that."""
    for _ in range(TURNS):
        if task.done():
            return task.cancelled()
        await asyncio.sleep(0)
    return False


NOTHING = {"error": {"code": 404, "err_code": 10037}}


NOBODY = {"Status": "503"}
"""Of an answer by which the cluster says that nobody there answers."""


@pytest.mark.parametrize("headers", [None, NOBODY])
async def test_who_asks_hears_of_a_cancellation_that_comes_with_the_answer(
        monkeypatch: pytest.MonkeyPatch, headers: dict[str, str] | None) -> None:
    """Be that an error; and one that was cancelled before and goes on, to put things in order, is answered."""
    client = asking(monkeypatch)
    engine = Engine(client)
    task = asyncio.create_task(engine.last("stream", "subject"))
    await answered(client, NOTHING, headers)
    task.cancel()
    assert await ended(task), "it was told to end, and went on"

    async def orderly() -> object:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await engine.last("stream", "subject")

    after = asyncio.create_task(orderly())
    await asyncio.sleep(0)
    after.cancel()
    await answered(client, NOTHING)
    assert await after is None


async def test_the_look_at_what_is_followed_ends_with_the_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay waits for it: one that went on would keep the process from its end, whatever signal asks for it."""
    client = asking(monkeypatch)
    engine, places = Engine(client), Places("chez", 1)

    async def look() -> None:
        await engine.last("stream", "subject")

    news = News(engine, places, cast("Any", None), look, Ephemerals(client, engine, places, bytes(8)))
    news.look_again()
    task = asyncio.create_task(news.run(lambda _: None))
    await answered(client, NOTHING)
    task.cancel()
    try:
        assert await ended(task), "it was told to end, and went on"
    finally:
        task.cancel()


async def test_who_reads_many_parts_hears_of_a_cancellation_that_comes_with_one(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """The last part as well, with which it would be done."""
    client = asking(monkeypatch)
    parts: asyncio.Queue[Msg] = asyncio.Queue()

    class Subscription:
        """Waits for the next part as nats-py's own does."""

        async def next_msg(self, timeout: float) -> Msg:
            """Give it."""
            return await asyncio.wait_for(parts.get(), timeout)

        async def unsubscribe(self) -> None:
            """Nothing comes any more."""

    async def subscribe(*_: Any, **__: Any) -> Subscription:
        return Subscription()

    monkeypatch.setattr(client, "subscribe", subscribe)
    task = asyncio.create_task(Engine(client).lasts("stream", ["subject"]))
    for _ in range(TURNS):
        await asyncio.sleep(0)
    parts.put_nowait(Msg(client, "answers.x", headers={"Status": "204"}))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    assert await ended(task), "it was told to end, and went on"
