"""How a verb talks to the person, wherever the person is.

    Ui        what a verb gets: four coroutines
    Face      what a program's front end offers: the same four, as plain functions
    NearUi    a Ui over a Face in this process (no owner runs)
    FarUi     a Ui over messages to the client of an owner

The CLI has one Face (`chez.cli.terminal`); verbs never know which Ui they hold.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from chez.agent.protocol import MAX_LINE, Ask, OwnerMessage, Progress, Say, Show

__all__ = ("Face", "FarUi", "NearUi", "Ui")


class Ui(Protocol):
    """What a verb may tell and ask the person while it runs."""

    async def say(self, text: str) -> None:
        """Tell a line."""

    async def progress(self, done: int, total: int, label: str) -> None:
        """Tell that `done` of `total` steps (0: not known) of `label` are done."""

    async def ask(self, question: str, *, default: str | None = None) -> str:
        """Ask and wait for the answer. Raises `NotAllowed` where nobody can answer."""

    async def show(self, data: dict[str, Any]) -> None:
        """Show a structured interim event (a page of rows, a pairing code)."""


class Face(Protocol):
    """A front end: what `Ui` needs from whoever faces the person."""

    def say(self, text: str) -> None:
        """Show a line."""

    def progress(self, done: int, total: int, label: str) -> None:
        """Show how far the work is."""

    def ask(self, question: str, default: str | None) -> str:
        """Ask and wait; blocks."""

    def show(self, data: dict[str, Any]) -> None:
        """Show a structured event."""


class NearUi:
    """A `Ui` in front of a `Face` of the same process."""

    def __init__(self, face: Face) -> None:
        self._face = face

    async def say(self, text: str) -> None:
        """Tell a line."""
        self._face.say(text)

    async def progress(self, done: int, total: int, label: str) -> None:
        """Tell how far the work is."""
        self._face.progress(done, total, label)

    async def ask(self, question: str, *, default: str | None = None) -> str:
        """Ask in a thread: sync and timers of the home go on while the person thinks."""
        return await asyncio.to_thread(self._face.ask, question, default)

    async def show(self, data: dict[str, Any]) -> None:
        """Show a structured event."""
        self._face.show(data)


class FarUi:
    """A `Ui` whose person sits at the other end of the owner's socket.

    `send` waits while the client is slow to read, so a verb never runs ahead of the
    person it reports to; `ask` sends a question and waits for the client's `Answer`.
    """

    def __init__(self, send: Callable[[OwnerMessage], Awaitable[None]],
                 ask: Callable[[Ask], Awaitable[str]]) -> None:
        self._send = send
        self._ask = ask

    async def say(self, text: str) -> None:
        """Send a line."""
        await self._send(Say(text[:MAX_LINE]))

    async def progress(self, done: int, total: int, label: str) -> None:
        """Send how far the work is."""
        await self._send(Progress(max(0, done), max(0, total), label[:MAX_LINE]))

    async def ask(self, question: str, *, default: str | None = None) -> str:
        """Send the question and wait for the answer."""
        return await self._ask(Ask(question[:MAX_LINE], default))

    async def show(self, data: dict[str, Any]) -> None:
        """Send a structured event."""
        await self._send(Show(data))
