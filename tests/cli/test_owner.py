"""The owner's server, with verbs made for the purpose."""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from chez.agent import paths, protocol
from chez.agent.owner import Owner, serve, serving
from chez.agent.ui import Ui
from chez.agent.verbs import Verb
from chez.cli.client import OwnerGone, exchange
from chez.errors import HomeLocked, InvalidValue, NotAllowed, NotFound, WrongPassphrase


class Face:
    """A person who notes everything and answers "oui"."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def say(self, text: str) -> None:
        """Note a line."""
        self.seen.append(text)

    def progress(self, done: int, total: int, label: str) -> None:
        """Note how far it is."""
        self.seen.append((done, total, label))

    def ask(self, question: str, default: str | None) -> str:
        """Answer."""
        self.seen.append((question, default))
        return "oui"

    def show(self, data: dict[str, Any]) -> None:
        """Note an event."""
        self.seen.append(data)


class FakeHome:
    """As much of a home as the server itself needs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()


async def echo(home: Any, params: dict[str, Any], ui: Ui) -> Any:
    """Give the parameters back."""
    return params


async def chat(home: Any, params: dict[str, Any], ui: Ui) -> Any:
    """Use all four ways to the person."""
    await ui.say("hello")
    await ui.progress(1, 2, "half")
    await ui.show({"page": [1, 2]})
    return await ui.ask("well?", default="no") + await ui.ask("again?")


async def wait(home: Any, params: dict[str, Any], ui: Ui) -> Any:
    """Wait for the gate; note a cancellation."""
    home.entered.set()
    try:
        await home.gate.wait()
    except asyncio.CancelledError:
        home.cancelled.set()
        raise
    return "through"


async def refuse(home: Any, params: dict[str, Any], ui: Ui) -> Any:
    """Fail on purpose."""
    raise NotFound("no such thing", "look elsewhere")


class Panic(BaseException):
    """What the Rust binding raises derives from BaseException."""


async def crash(home: Any, params: dict[str, Any], ui: Ui) -> Any:
    """Fail by accident, with content in the message."""
    raise (Panic if params.get("panic") else ValueError)("my secret diary")


async def unsendable(home: Any, params: dict[str, Any], ui: Ui) -> Any:
    """Return what no message can carry."""
    return {"big": 2**80}


async def flood(home: Any, params: dict[str, Any], ui: Ui) -> Any:
    """Show pages for ever, noting how far it came."""
    home.pages = 0
    while True:
        await ui.show({"page": "x" * 100_000})
        home.pages += 1
        home.entered.set()


VERBS: dict[str, Verb] = {"echo": echo, "chat": chat, "wait": wait, "refuse": refuse, "crash": crash,
                          "unsendable": unsendable, "flood": flood}


def find(name: str) -> Verb:
    """The test's own table."""
    if name not in VERBS:
        raise NotFound(f"no verb {name}")
    return VERBS[name]


@pytest.fixture
def home(tmp_path: Path) -> FakeHome:
    """A home in a private folder."""
    folder = tmp_path / "home"
    folder.mkdir(0o700)
    return FakeHome(folder)


@pytest.fixture
async def owner(home: FakeHome) -> AsyncIterator[Owner]:
    """A server over it."""
    async with serve(home, find=find) as running:  # type: ignore[arg-type]
        yield running
    running.release()


def dial(home: FakeHome) -> socket.socket:
    """A connection that must come to be."""
    link = paths.connect(home.path)
    assert link is not None
    link.settimeout(20)
    return link


async def ask(home: FakeHome, verb: str, face: Face | None = None, **params: Any) -> Any:
    """One request on a connection of its own."""
    def run() -> Any:
        with dial(home) as link:
            return exchange(link, face or Face(), verb, params)

    return await asyncio.to_thread(run)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, at most some seconds."""
    with anyio.fail_after(90):
        while not condition():  # noqa: ASYNC110 - a state with no event of its own
            await asyncio.sleep(0.005)


async def test_a_verb_talks_to_its_person_through_the_socket(home: FakeHome, owner: Owner) -> None:
    """Lines, progress, pages, questions and the result arrive in order."""
    face = Face()
    assert await ask(home, "chat", face) == "ouioui"
    assert face.seen == ["hello", (1, 2, "half"), {"page": [1, 2]}, ("well?", "no"), ("again?", None)]


async def test_requests_follow_each_other_and_run_beside_each_other(home: FakeHome, owner: Owner) -> None:
    """One connection serves many requests, and a waiting one holds up nobody."""
    waiting = asyncio.create_task(ask(home, "wait"))
    await home.entered.wait()

    def several() -> list[Any]:
        with dial(home) as link:
            return [exchange(link, Face(), "echo", {"n": n}) for n in range(50)]

    assert await asyncio.to_thread(several) == [{"n": n} for n in range(50)]
    home.gate.set()
    assert await waiting == "through"


async def test_errors_travel_as_themselves(home: FakeHome, owner: Owner) -> None:
    """A typed error keeps class, message and hint; the connection stays usable."""
    def run() -> Any:
        with dial(home) as link:
            with pytest.raises(NotFound) as caught:
                exchange(link, Face(), "refuse", {})
            assert (caught.value.message, caught.value.hint) == ("no such thing", "look elsewhere")
            return exchange(link, Face(), "echo", {"still": "here"})

    assert await asyncio.to_thread(run) == {"still": "here"}


@pytest.mark.parametrize("panic", [False, True])
async def test_an_accident_is_one_line_and_a_private_file_without_content(
        home: FakeHome, owner: Owner, panic: bool) -> None:
    """No trace travels; the details are in a file of mode 0600 that does not quote data."""
    with pytest.raises(Exception) as caught:
        await ask(home, "crash", panic=panic)
    assert getattr(caught.value, "code", None) == "Unexpected"
    assert "diary" not in str(caught.value) and "Traceback" not in str(caught.value)
    report = home.path / "unexpected.txt"
    assert str(report) in str(caught.value)
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert "diary" not in report.read_text() and " in crash" in report.read_text()
    assert await ask(home, "echo", n=1) == {"n": 1}


async def test_a_result_no_message_can_carry_is_an_error(home: FakeHome, owner: Owner) -> None:
    """A verb that returns nonsense fails by itself, not the connection."""
    with pytest.raises(Exception, match="can't be sent"):
        await ask(home, "unsendable")


async def test_hanging_up_cancels_the_verb(home: FakeHome, owner: Owner) -> None:
    """A client that goes away takes its verb with it."""
    link = dial(home)
    link.sendall(protocol.encode(protocol.Request("wait", {})))
    await home.entered.wait()
    link.close()
    with anyio.fail_after(90):
        await home.cancelled.wait()
    assert await ask(home, "echo", n=1) == {"n": 1}


async def test_a_client_that_does_not_read_holds_nothing_but_itself(home: FakeHome, owner: Owner) -> None:
    """Pages wait for their reader; others are served; going away ends the verb."""
    link = dial(home)
    link.sendall(protocol.encode(protocol.Request("flood", {})))
    await home.entered.wait()
    for n in range(20):
        assert await ask(home, "echo", n=n) == {"n": n}
    # What the kernel buffers, and no more.
    assert home.pages * 100_000 < 10_000_000  # type: ignore[attr-defined]
    link.close()


@pytest.mark.parametrize("bytes_sent", [
    b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n", bytes(64), protocol.encode(protocol.Answer("unasked")),
    protocol.encode(protocol.Request("wait", {})) + protocol.encode(protocol.Answer("unasked")),
    protocol.encode(protocol.Request("wait", {})) + protocol.encode(protocol.Request("echo", {})),
])
async def test_a_client_that_breaks_the_protocol_is_told_and_dropped(
        home: FakeHome, owner: Owner, bytes_sent: bytes) -> None:
    """Garbage gets one typed error and the end of the connection; the owner goes on."""
    def run() -> list[bytes]:
        with dial(home) as link:
            link.sendall(bytes_sent)
            received = b""
            while data := link.recv(65536):
                received += data
            return protocol.Deframer().feed(received)

    [body] = await asyncio.to_thread(run)
    answer = protocol.decode_owner(body)
    assert isinstance(answer, protocol.Failed) and answer.code == "ProtocolError"
    assert await ask(home, "echo", n=1) == {"n": 1}


async def test_half_a_message_and_silence_block_nobody(home: FakeHome, owner: Owner) -> None:
    """Half-open connections wait on their own."""
    links = [dial(home) for _ in range(20)]
    for link in links:
        link.sendall(protocol.encode(protocol.Request("echo", {"a": 1}))[:7])
    assert await ask(home, "echo", n=1) == {"n": 1}
    for link in links:
        link.close()


async def test_too_many_clients_are_refused_until_some_leave(
        home: FakeHome, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of connections is bounded; a place that is free again is used again."""
    monkeypatch.setattr("chez.agent.owner.MAX_CONNECTIONS", 3)
    links = [dial(home) for _ in range(3)]
    for link in links:
        assert await asyncio.to_thread(exchange, link, Face(), "echo", {}) == {}
    with pytest.raises(NotAllowed, match="at a time"):
        await ask(home, "echo")
    links.pop().close()
    await until(lambda: len(owner._tasks) == 2)
    assert await ask(home, "echo", n=1) == {"n": 1}
    for link in links:
        link.close()


async def test_another_user_is_refused(home: FakeHome, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's word on who calls decides, on both sides."""
    monkeypatch.setattr(paths, "peer_uid", lambda _: os.getuid() + 1)
    with socket.socket(socket.AF_UNIX) as link:  # not by `connect`, which looks at the owner's uid
        link.connect(str(owner.path))
        link.settimeout(20)
        with pytest.raises(NotAllowed, match="another user"):
            await asyncio.to_thread(exchange, link, Face(), "echo", {})
    # The client for its part does not talk to somebody else's process.
    assert paths.connect(home.path) is None


async def test_the_kernel_tells_who_calls(home: FakeHome, owner: Owner) -> None:
    """peer_uid is the uid of this process on a connection from this process."""
    with dial(home) as link:
        assert paths.peer_uid(link) == os.getuid()


async def test_socket_and_folder_are_private_even_when_the_folder_was_not(tmp_path: Path) -> None:
    """Mode 0600 in a 0700 folder, whatever umask and folder were before."""
    folder = tmp_path / "lax"
    folder.mkdir()
    folder.chmod(0o755)
    before = os.umask(0)
    try:
        async with serve(FakeHome(folder), find=find) as owner:  # type: ignore[arg-type]
            assert stat.S_IMODE(owner.path.stat().st_mode) == 0o600
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        os.umask(before)


async def test_a_deep_folder_gets_a_private_socket_elsewhere(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path too long for a socket is served from the runtime folder, and cleaned up."""
    runtime = Path(os.path.realpath("/tmp")) / f"chez-test-{os.getpid()}"
    runtime.mkdir(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    folder = tmp_path / ("d" * 100)
    folder.mkdir(0o700)
    home = FakeHome(folder)
    try:
        async with serve(home, find=find) as owner:  # type: ignore[arg-type]
            assert owner.path.is_relative_to(runtime)
            assert stat.S_IMODE(owner.path.parent.stat().st_mode) == 0o700
            assert stat.S_IMODE(owner.path.stat().st_mode) == 0o600
            assert await ask(home, "echo", n=1) == {"n": 1}
        assert list(runtime.iterdir()) == [] and list(folder.iterdir()) == []
    finally:
        runtime.rmdir()


async def test_what_a_killed_owner_left_is_replaced(home: FakeHome, tmp_path: Path) -> None:
    """A stale socket and pointer are no owner, and do not stop the next one."""
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(home.path / "owner.sock"))
    stale.close()
    (home.path / "owner.socket").write_text(str(tmp_path / "chez-gone" / "owner.sock"))
    assert paths.connect(home.path) is None
    async with serve(home, find=find):  # type: ignore[arg-type]
        assert await ask(home, "echo", n=1) == {"n": 1}
    assert list(home.path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\0", b"\xff\xfe", b"/etc/passwd", b"x" * 9999, b"relative"])
async def test_a_damaged_pointer_is_no_owner(tmp_path: Path, content: bytes) -> None:
    """Whatever the pointer file says, connecting gives None, and starting still works."""
    folder = tmp_path / ("d" * 100)
    folder.mkdir(0o700)
    (folder / "owner.socket").write_bytes(content)
    assert paths.connect(folder) is None
    async with serve(FakeHome(folder), find=find):  # type: ignore[arg-type]
        pass
    assert Path("/etc/passwd").exists()


async def test_lock_lets_work_finish_and_hangs_up_at_the_very_end(home: FakeHome) -> None:
    """After `lock`: no new clients, verbs under way end, the caller learns when all is closed."""
    async with serve(home, find=find) as owner:  # type: ignore[arg-type]
        waiting = asyncio.create_task(ask(home, "wait"))
        await home.entered.wait()
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
        waiting = asyncio.create_task(ask(home, "wait"))
        await home.entered.wait()
    assert home.cancelled.is_set()
    with pytest.raises(OwnerGone):
        await waiting


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
        waiting = asyncio.create_task(ask(home, "wait"))
        await home.entered.wait()
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


async def test_a_socket_is_taken_over_by_the_program_that_follows(home: FakeHome) -> None:
    """What was left with `keep` is listened on again; a descriptor of anything else is refused."""
    async with serving(home.path, paths.listen(home.path), find=find) as owner:
        kept = owner.keep()
        path = owner.path
    assert path.exists() and os.get_inheritable(kept)
    early = dial(home)  # a client that comes while nobody listens waits
    async with serving(home.path, paths.adopt(home.path, kept), find=find) as again:
        assert not os.get_inheritable(kept)
        again.open(home)  # type: ignore[arg-type]
        assert await asyncio.to_thread(exchange, early, Face(), "echo", {"n": 1}) == {"n": 1}
        early.close()
    assert not path.exists()
    nothing = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(InvalidValue):
        paths.adopt(home.path, nothing)
    os.close(nothing)
    with socket.socket(socket.AF_UNIX) as other, pytest.raises(InvalidValue):
        paths.adopt(home.path, os.dup(other.fileno()))
