"""The owner's server: what its clients ask, and what they may not do to it."""

import asyncio
import stat
from typing import Any

import anyio
import pytest

from chez.agent import protocol
from chez.agent.owner import Owner
from chez.cli.client import exchange
from chez.errors import NotAllowed, NotFound
from tests.agent.owning import Face, FakeHome, ask, begun, dial, until


async def test_a_verb_talks_to_its_person_through_the_socket(home: FakeHome, owner: Owner) -> None:
    """Lines, progress, pages, questions and the result arrive in order."""
    face = Face()
    assert await ask(home, "chat", face) == "ouioui"
    assert face.seen == ["hello", (1, 2, "half"), {"page": [1, 2]}, ("well?", "no"), ("again?", None)]


async def test_requests_follow_each_other_and_run_beside_each_other(home: FakeHome, owner: Owner) -> None:
    """One connection serves many requests, and a waiting one holds up nobody."""
    waiting = await begun(home)

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
