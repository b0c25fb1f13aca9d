"""An owner's server over a home that is none, with verbs made for the purpose."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio

from chez.agent import paths
from chez.agent.ui import Ui
from chez.agent.verbs import Verb
from chez.cli.client import exchange
from chez.errors import NotFound


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

    def check_open(self) -> None:
        """It is open."""


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


async def begun(home: FakeHome) -> "asyncio.Task[Any]":
    """A request on a connection of its own that waits for the gate; raises what it ended with instead."""
    asking, inside = asyncio.create_task(ask(home, "wait")), asyncio.create_task(home.entered.wait())
    await asyncio.wait((asking, inside), return_when=asyncio.FIRST_COMPLETED)
    inside.cancel()
    if asking.done():
        asking.result()
    return asking


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, at most some seconds."""
    with anyio.fail_after(90):
        while not condition():  # noqa: ASYNC110 - a state with no event of its own
            await asyncio.sleep(0.005)
