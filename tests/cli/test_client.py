"""The client's side of the socket, and the two Uis: against any owner."""

import socket
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.agent import paths, protocol
from chez.agent.ui import FarUi, NearUi
from chez.cli.client import OwnerGone, exchange
from chez.errors import ChezError, InvalidValue, NotAllowed
from tests.agent.owning import Face
from tests.cli.support import Chez
from tests.cli.test_protocol import FROM_OWNER
from tests.tries import tries


def answer_with(data: bytes) -> Any:
    """One exchange with an owner that sends these bytes and hangs up."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(20)
        # Small enough for the kernel's buffer: the owner needs no thread of its own.
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        return exchange(ours, Face(), "verb", {})


@given(st.binary(max_size=300))
@settings(max_examples=tries(200), deadline=None)
def test_any_bytes_from_an_owner_are_a_result_or_a_typed_error(data: bytes) -> None:
    """Whatever stands in an owner's place, the client ends with an error it can show."""
    with pytest.raises(ChezError):
        answer_with(data + b"\0")


@given(st.lists(FROM_OWNER, max_size=6))
@settings(max_examples=tries(200), deadline=None)
def test_events_before_the_result_are_all_shown(messages: list[protocol.OwnerMessage]) -> None:
    """Any order of events is followed; only the first Result or Failed ends it."""
    ends = [i for i, message in enumerate(messages) if isinstance(message, protocol.Result | protocol.Failed)]
    stream = b"".join(map(protocol.encode, messages))
    if not ends:
        with pytest.raises(OwnerGone):
            answer_with(stream)
    elif isinstance(last := messages[ends[0]], protocol.Result):
        assert answer_with(stream) == last.value
    else:
        with pytest.raises(ChezError):
            answer_with(stream)


def test_an_owner_that_dies_is_named() -> None:
    """Hanging up in the middle is OwnerGone with what to do, not a broken pipe."""
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours, pytest.raises(OwnerGone):
        exchange(ours, Face(), "verb", {})


def test_a_refusal_is_read_although_nothing_could_be_sent() -> None:
    """An owner that refuses and hangs up before it reads is still heard."""
    ours, theirs = socket.socketpair()
    theirs.sendall(protocol.encode(protocol.Failed("NotAllowed", "not you", "")))
    theirs.close()
    with ours, pytest.raises(NotAllowed, match="not you"):
        exchange(ours, Face(), "verb", {"a": "x" * 100_000})


def test_parameters_no_message_can_carry_are_the_callers_mistake() -> None:
    """A number beyond 64 bits is refused before anything is sent."""
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(InvalidValue):
        exchange(ours, Face(), "put", {"n": 2**70})


async def test_near_and_far_show_the_same() -> None:
    """A verb's four ways to the person come out alike on both sides of a socket."""
    near = Face()
    sent: list[protocol.OwnerMessage] = []

    async def send(message: protocol.OwnerMessage) -> None:
        sent.append(message)

    async def ask(question: protocol.Ask) -> str:
        sent.append(question)
        return "oui"

    answers = []
    for ui in (NearUi(near), FarUi(send, ask)):
        await ui.say("line")
        await ui.progress(1, 3, "steps")
        await ui.show({"code": "1-a-b"})
        answers.append(await ui.ask("sure?", default="no"))
    assert answers == ["oui", "oui"]
    ours, theirs = socket.socketpair()
    far = Face()
    with ours, theirs:
        theirs.sendall(b"".join(map(protocol.encode, [*sent, protocol.Result(None)])))
        exchange(ours, far, "verb", {})
    assert far.seen == near.seen


async def test_asking_near_does_not_stop_the_home() -> None:
    """While the person thinks, the event loop goes on."""
    import asyncio

    asked, answered = threading.Event(), threading.Event()

    class Slow(Face):
        def ask(self, question: str, default: str | None) -> str:
            asked.set()
            assert answered.wait(90)
            return "yes"

    task = asyncio.create_task(NearUi(Slow()).ask("sure?"))
    assert await asyncio.to_thread(asked.wait, 20)
    answered.set()
    assert await task == "yes"


@pytest.mark.parametrize("locks", [True, False])
def test_an_owner_that_locks_itself_just_then_says_what_to_do(empty: Chez, locks: bool) -> None:
    """It hangs up on what it has not begun, and another program goes on at its socket; one that lives on may have done
    what it was asked, which nobody asks for twice."""
    empty.home.mkdir(0o700)
    listener = paths.listen(empty.home)
    listener.socket.setblocking(True)
    heard: list[str] = []

    def owner() -> None:
        answers = [None, protocol.Result({"locked": locks, "pid": 1}),
                   protocol.Failed("HomeLocked", "the home locked itself", "chez unlock opens it")]
        for answer in answers[:3 if locks else 2]:
            with listener.socket.accept()[0] as link:
                (body,) = protocol.Deframer().feed(link.recv(4096))
                heard.append(protocol.decode_client(body).verb)  # type: ignore[union-attr]
                if answer is not None:
                    link.sendall(protocol.encode(answer))

    thread = threading.Thread(target=owner)
    thread.start()
    error = empty.error("put", "notes", "n=1")
    thread.join(90)
    listener.close()
    assert error["code"] == ("HomeLocked" if locks else "OwnerGone")
    assert heard == ["put", "owner", "put"][:3 if locks else 2]
