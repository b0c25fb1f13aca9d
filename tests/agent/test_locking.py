"""Locking an owner: by asking, by leaving, by itself; and the passphrases that open it again."""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import chez
from chez.agent import paths, protocol, running
from chez.agent.owner import Owner, serve, serving
from chez.agent.ui import Ui
from chez.agent.verbs import Verb
from chez.cli.client import OwnerGone, exchange
from chez.crypto import Kdf
from chez.errors import HomeLocked, InvalidValue, NotAllowed, StorageFailed, WrongPassphrase
from chez.home.lifecycle import opened
from chez.tasks import finished
from tests.agent.owning import Face, FakeHome, ask, begun, dial, find, until


async def test_lock_lets_work_finish_and_hangs_up_at_the_very_end(home: FakeHome) -> None:
    """After `lock`: no new clients, verbs under way end, the caller learns when all is closed."""
    async with serve(home, find=find) as owner:  # type: ignore[arg-type]
        waiting = await begun(home)
        idle = dial(home)
        link = dial(home)
        answer = await asyncio.to_thread(exchange, link, Face(), "lock", {})
        assert answer["pid"] == os.getpid() and answer["socket"] == str(owner.path)
        await owner.stopped.wait()
        asyncio.get_running_loop().call_later(0.05, home.gate.set)
    assert await waiting == "through"
    assert await asyncio.to_thread(idle.recv, 1) == b""
    link.setblocking(False)
    with pytest.raises(BlockingIOError):
        link.recv(1)  # still held: the home may not be closed yet
    owner.release()
    link.settimeout(20)
    assert link.recv(1) == b""
    for one in (idle, link):
        one.close()
    assert paths.connect(home.path) is None


async def test_leaving_cancels_what_is_left(home: FakeHome) -> None:
    """An app that ends without `lock` does not wait for verbs under way."""
    async with serve(home, find=find):  # type: ignore[arg-type]
        waiting = await begun(home)
    assert home.cancelled.is_set()
    with pytest.raises(OwnerGone):
        await waiting


class Stuck:
    """A verb that waits for a thread, which waits for a person: nobody ends it."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.answered = threading.Event()

    def __call__(self, name: str) -> Verb:
        return self._verb

    async def _verb(self, home: Any, params: dict[str, Any], ui: Ui) -> Any:
        self.begun.set()
        await finished(asyncio.to_thread(self.answered.wait))


@asynccontextmanager
async def stuck(home: FakeHome) -> AsyncIterator[Stuck]:
    """One, and the person answers at the end."""
    verb = Stuck()
    try:
        yield verb
    finally:
        verb.answered.set()


async def test_an_owner_ends_also_while_a_keyring_asks(home: FakeHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its home was open, and its key in memory, for as long as nobody answered."""
    monkeypatch.setattr("chez.agent.owner.GRACE", 0.01)
    async with stuck(home) as verb:
        async with asyncio.timeout(10), serve(home, find=verb):  # type: ignore[arg-type]
            waiting = asyncio.create_task(ask(home, "stuck"))
            await verb.begun.wait()
        assert not verb.answered.is_set()
    with pytest.raises(OwnerGone):
        await waiting


async def test_who_hung_up_while_a_keyring_asks_uses_nothing(home: FakeHome) -> None:
    """The owner locks itself: it did not for as long as nobody answered."""
    clock = Clock()
    async with stuck(home) as verb, serve(
            home, find=verb, lock_after=60, clock=clock) as owner:  # type: ignore[arg-type]
        with dial(home) as link:
            waiting = asyncio.create_task(asyncio.to_thread(exchange, link, Face(), "stuck", {}))
            await verb.begun.wait()
            link.shutdown(socket.SHUT_RDWR)
            with pytest.raises(OwnerGone):
                await waiting
        async with asyncio.timeout(10):
            while not owner.locked.is_set():  # that it hung up is noted a moment later
                clock.now += 61
                owner.look()
                await asyncio.sleep(0.005)
        assert not verb.answered.is_set()
        verb.answered.set()


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_an_owner_that_nobody_uses_locks_itself(home: FakeHome) -> None:
    """After so long without a request it answers that it is locked; a verb under way and `touch` are use."""
    clock = Clock()
    async with serve(home, find=find, lock_after=60, clock=clock) as owner:  # type: ignore[arg-type]
        waiting = await begun(home)
        clock.now += 1000
        assert owner.look() > 0 and not owner.locked.is_set()
        home.gate.set()
        assert await waiting == "through"
        await until(lambda: not owner._busy)
        clock.now += 59
        owner.touch()
        clock.now += 59
        assert owner.look() == pytest.approx(1)
        assert await ask(home, "echo", n=1) == {"n": 1}
        await until(lambda: not owner._busy)
        clock.now += 59
        assert (await ask(home, "owner"))["locked"] is False  # who asks how it is does not use it
        clock.now += 1
        assert owner.look() == 0 and owner.locked.is_set()
        with pytest.raises(HomeLocked, match="locked itself"):
            await ask(home, "echo")
        assert (await ask(home, "owner"))["locked"] is True
        with pytest.raises(NotAllowed, match="an app owns"):
            await ask(home, "unlock", passphrase="x")


async def test_a_machine_that_slept_wakes_up_locked(home: FakeHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Timers stand still meanwhile: the clock is looked at every few seconds, whoever asks for something or not."""
    monkeypatch.setattr("chez.agent.owner.LOOK", 0.01)
    clock = Clock()
    async with serve(home, find=find, lock_after=3600, clock=clock) as owner:  # type: ignore[arg-type]
        await ask(home, "echo", n=1)
        async with asyncio.timeout(10):
            while not owner.locked.is_set():  # what was asked may be noted as done a moment after its answer
                clock.now += 3600
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
async def test_a_time_to_lock_after_that_is_none_is_refused(home: FakeHome, seconds: float) -> None:
    """Never and at once are no times to lock after."""
    with pytest.raises(InvalidValue):
        async with serve(home, find=find, lock_after=seconds):  # type: ignore[arg-type]
            pass


async def test_passphrases_are_tried_one_at_a_time_with_a_pause(home: FakeHome) -> None:
    """A wrong one makes the next wait, twice as long each time, and parallel ones do not get round it."""
    clock, tried, gate = Clock(), [], asyncio.Event()

    async def opening(owner: Owner) -> None:
        while (request := await owner.asked()) is not None:
            tried.append(request.passphrase)
            if request.passphrase == "right":
                owner.open(home)  # type: ignore[arg-type]
                owner.settle(request)
            else:
                await gate.wait()
                owner.settle(request, WrongPassphrase("no", "try"))

    async with serving(home.path, paths.listen(home.path), find=find, lock_after=60, clock=clock) as owner:
        task = asyncio.create_task(opening(owner))
        await until(lambda: owner._asked is not None)
        left = dial(home)  # who hangs up before the answer has used up the try all the same
        left.sendall(protocol.encode(protocol.Request("unlock", {"passphrase": "wrong"})))
        await until(lambda: bool(tried))
        left.close()
        await until(lambda: not owner._busy)
        gate.set()
        at_once = await asyncio.gather(*[ask(home, "unlock", passphrase=f"wrong {n}") for n in range(5)],
                                       return_exceptions=True)
        assert {type(one) for one in at_once} == {NotAllowed} and len(tried) == 1
        clock.now += 1
        at_once = await asyncio.gather(*[ask(home, "unlock", passphrase=f"wrong {n}") for n in range(5)],
                                       return_exceptions=True)
        assert sorted(type(one).__name__ for one in at_once) == ["NotAllowed"] * 4 + ["WrongPassphrase"]
        assert len(tried) == 2
        for pause in (2, 4):
            clock.now += pause - 0.5
            with pytest.raises(NotAllowed, match="next try"):
                await ask(home, "unlock", passphrase="right")
            clock.now += 0.5
            with pytest.raises(WrongPassphrase):
                await ask(home, "unlock", passphrase="wrong")
        clock.now += 8
        assert await ask(home, "unlock", passphrase="right") == {"unlocked": True}
        assert await ask(home, "echo", n=1) == {"n": 1}
        owner.stopped.set()
        await task


async def test_only_a_wrong_passphrase_makes_wait(home: FakeHome) -> None:
    """What else keeps a home from being opened, as a keyring or a disk that refuses, is no guess."""
    async def opening(owner: Owner) -> None:
        while (request := await owner.asked()) is not None:
            owner.settle(request, StorageFailed("the disk refuses", "try again"))

    async with serving(home.path, paths.listen(home.path), find=find, lock_after=60, clock=Clock()) as owner:
        task = asyncio.create_task(opening(owner))
        for _ in range(2):
            with pytest.raises(StorageFailed, match="the disk refuses"):
                await ask(home, "unlock", passphrase="right")
        owner.stopped.set()
        await task


async def test_who_asks_while_the_home_is_being_opened_waits_for_it(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner that was just started is not locked: nobody is told so, nor asked for a passphrase."""
    gate, ready = asyncio.Event(), list[dict[str, Any]]()

    @asynccontextmanager
    async def slow(path: Path, key: bytes) -> AsyncIterator[chez.Home]:
        await gate.wait()
        async with opened(path, key) as home:
            yield home

    monkeypatch.setattr("chez.agent.running.opened", slow)
    await chez.create(tmp_path / "home", passphrase="words", kdf=Kdf.minimum())
    home, ending = FakeHome(tmp_path / "home"), running._Ending()
    owning = asyncio.create_task(running._own(home.path, "words", ready.append, None, None, ending))
    await until(lambda: ending.owner is not None)
    asked = [asyncio.create_task(ask(home, verb)) for verb in ("status", "unlock")]
    assert (await ask(home, "owner"))["locked"] is False
    assert not ready and not any(one.done() for one in asked)
    gate.set()
    status, unlocked = await asyncio.gather(*asked)
    assert status["records"] == 0 and unlocked == {"unlocked": False}
    assert ending.owner is not None
    ending.owner.stopped.set()
    await owning
