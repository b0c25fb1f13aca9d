"""A second device of a person: let in by a code, and given by the first one what its job may tell."""

import asyncio
from pathlib import Path
from typing import Any

import chez
from chez.crypto import Kdf
from chez_sandbox.consent.sharing import job_allowance_ask, job_allowance_give

__all__ = ("allowance", "pair")


async def pair(home: chez.Home, phone: Path, passphrase: str, relay: str) -> None:
    """Let a phone in, as another device of a home's person. Raises `ChezError`."""
    async with home.pair() as pairing, asyncio.TaskGroup() as group:
        group.create_task(chez.join(phone, pairing.code, passphrase=passphrase, name="phone", relay=relay,
                                    kdf=Kdf.minimum()))
        await pairing.confirm()


async def allowance(laptop: chez.Home, phone: chez.Home, grant: str) -> None:
    """What the phone asks for to run a job is given by the laptop, on which the home began and all of the budget is.

    Raises `ChezError`, `SandboxError`.
    """
    await job_allowance_ask(phone, {"what": grant}, _Person())
    await phone.sync()
    await laptop.sync()
    await job_allowance_give(laptop, {"device": "phone"}, _Person())
    await laptop.sync()
    await phone.sync()


class _Person:
    """Who sits at both, and says yes."""

    async def say(self, text: str) -> None:
        """Nothing is read."""

    async def progress(self, done: int, total: int, label: str) -> None:
        """Nor this."""

    async def ask(self, question: str, *, default: str | None = None) -> str:
        """Yes."""
        return "y"

    async def show(self, data: dict[str, Any]) -> None:
        """Nor this."""
