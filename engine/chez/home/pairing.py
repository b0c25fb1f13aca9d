"""The old device's side of pairing, with its inboxes, its store and its person."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from chez import crypto, inboxes
from chez.errors import BadPairing, ChezError, NotAllowed, RelayRefused, RelayUnreachable
from chez.home.held import HeldSpaces
from chez.home.relay_list import told
from chez.journal import Journal
from chez.keys.device import DeviceKeys
from chez.records.values import time_text
from chez.spaces.copies import copy_person, say_everywhere
from chez.spaces.enrolment import certificate
from chez.spaces.handover import announce, hand_over
from chez.store.database import Connection, Database
from chez.sync.codes import mailbox, new_code
from chez.sync.pairing import Bundle, Introduction, OldDevice

__all__ = ("CODE_SECONDS", "WRONG", "Ask", "Paired", "Pairing", "agrees", "check_guesses", "fingerprint", "full_code",
           "pair", "split_code")

CODE_SECONDS = 600
"""How long a code works."""

CLOSE_SECONDS = 2.0
"""How long a code that is given up takes at most to say so."""

MAX_WRONG = 5
"""Wrong codes within WINDOW seconds, after which no new code is made: one guess each is one in four million."""

WINDOW = 3600
WRONG = "wrong code"
"""What a receipt of one says."""

Ask = Callable[..., Awaitable[str]]
"""Asks the person: `await ask(question, default="no")` gives the answer as text; "yes" or "oui" is yes."""


@dataclass(frozen=True, slots=True)
class Paired:
    """The device that was let in."""

    device: bytes = field(repr=False)
    name: str


def full_code(code: str, url: str) -> str:
    """A code together with the relay it works at: `48151-orbit-lemon@relay.example`."""
    return f"{code}@{url.removeprefix('wss://')}"


def split_code(text: str) -> tuple[str, str | None]:
    """Undo `full_code`; the relay is None when the text names none."""
    code, found, relay = text.strip().partition("@")
    if not found:
        return code, None
    return code, relay if "://" in relay else f"wss://{relay}"


def fingerprint(device: bytes) -> str:
    """A device id shortened for people to compare: 48 bits in four groups."""
    digest = crypto.hash_fields("chez/1 fingerprint", device).hex()
    return " ".join(digest[i : i + 3] for i in range(0, 12, 3))


async def agrees(ask: Ask, question: str) -> bool:
    """Whether the person says yes."""
    return (await ask(question, default="no")).strip().lower() in ("y", "yes", "o", "oui")


async def check_guesses(journal: Journal, kind: str, now: Callable[[], int]) -> None:
    """Raise `NotAllowed` when too many wrong codes were tried of late, by receipts of a kind."""
    since = time_text(datetime.fromtimestamp(now() / 1000 - WINDOW, UTC))
    wrong = [one for one in await journal.receipts(kind, reason=WRONG) if one.time >= since]
    if len(wrong) >= MAX_WRONG:
        raise NotAllowed(f"{len(wrong)} wrong codes were tried within an hour, so no new one is made for a while",
                         f"If it was not you, somebody is guessing: `chez journal --kind {kind}` tells when.")


class Pairing:
    """A pairing that waits for another device; made by `Home.pair`.

    `code` is to be typed on the new device; it works once, for ten minutes.
    """

    def __init__(self, database: Database, spaces: HeldSpaces, device: DeviceKeys, journal: Journal, url: str,
                 address: str, person: bytes) -> None:
        self._database = database
        self._spaces = spaces
        self._device = device
        self._journal = journal
        self._url = url
        self._address = address
        self._code = new_code(crypto.random_bytes(8))
        self._machine = OldDevice(self._code, crypto.random_bytes(32), person)
        self._told = False
        self.code: str = full_code(self._code, url)
        """What is typed on the new device: a secret while it works."""

    def __repr__(self) -> str:
        return f"<Pairing at {self._url}>"  # the code is a secret

    async def confirm(self, ask: Ask | None = None) -> Paired:
        """Wait for the new device, let the person confirm it, certify it.

        `ask(question, default="no")` gives the person's answer, "yes" or "no"; without it, the code alone decides.
        Raises `BadPairing` when a wrong code was tried (this one is burnt then),
        `NotAllowed` when the person says no, `RelayUnreachable` and `RelayRefused`, which say so where the
        new device was certified and could not be told.
        """
        to_old, _ = mailbox(self._code, False)
        try:
            introduction = await self._introduction(to_old)
        except BadPairing:
            await self._journal.append("pairing-refused", {"reason": WRONG})
            with suppress(ChezError):  # whoever mistyped it need not wait
                await self._tell(self._machine.refuse())
            raise
        question = f"Let {introduction.name!r} (fingerprint {fingerprint(introduction.device)}) be a device of yours?"
        if ask is not None and not await agrees(ask, question):
            await self._tell(self._machine.refuse())
            await self._journal.append("pairing-refused", {"reason": "the person said no", "name": introduction.name})
            raise NotAllowed("the new device was not let in", "Run `chez pair` again to try another.")
        bundle = await self._certify(introduction)
        try:
            await self._tell(*self._machine.admit(bundle))
        except (RelayRefused, RelayUnreachable) as error:
            raise type(error)(f"{introduction.name!r} is a device of yours by now, but it could not be told: "
                              f"{error.message}", "Take it out (`chez device remove`), and pair it again.") from None
        return Paired(introduction.device, introduction.name)

    async def _tell(self, *items: bytes) -> None:
        key, box = mailbox(self._code, True)
        await inboxes.put(self._address, box, key, *items)
        self._told = True

    async def _close(self) -> None:
        """Remove what is left for this device; a welcome must stay until it is taken.

        Whoever types the code from now on, or did and was not answered, is sent away.
        """
        with suppress(ChezError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                for to_new in (False,) if self._told else (True, False):
                    key, _ = mailbox(self._code, to_new)
                    async with inboxes.watch(self._address, key) as items:
                        await items.ack(2**62)
                if not self._told:
                    await self._tell(self._machine.refuse())

    async def _open(self) -> None:
        """Make both inboxes and leave the hello in one."""
        for to_new in (True, False):
            key, _ = mailbox(self._code, to_new)
            await inboxes.create(self._address, key, key.public, ttl=CODE_SECONDS)
        key, box = mailbox(self._code, True)
        await inboxes.put(self._address, box, key, self._machine.hello)

    async def _introduction(self, to_old: crypto.SigningKey) -> Introduction:
        try:
            async with asyncio.timeout(CODE_SECONDS), inboxes.watch(self._address, to_old) as items:
                async for item in items:
                    await items.ack(item.number)
                    return self._machine.receive(item.item)
        except TimeoutError:
            pass
        raise NotAllowed("nobody used the code in ten minutes",
                         "Run `chez pair` again when the other device is at hand.")

    async def _certify(self, who: Introduction) -> Bundle:
        """Let a device in, in all spaces; the private one is handed over, where it finds the others."""
        device = self._device

        def work(db: Connection) -> Bundle:
            replicas = [held.replica for held in self._spaces.all.values()]
            for replica in replicas:
                replica.refresh(db)
                copy_person(db, replica.space.n, replica.space.membership)
            private = replicas[0].space
            create = private.membership.create
            assert create is not None  # load_space refuses a space without it
            heads = private.membership.person_heads(create.person, device.id)
            statement = certificate(create.person, heads, device.signing, who.device, who.sealing, who.name,
                                    self._machine.salt, who.consent)
            say_everywhere(db, [replica.space for replica in replicas], statement)
            announce(db)
            self._journal.record(db, "device-added", {"name": who.name, "device": who.device.hex()})
            return Bundle(create.person, [hand_over(private, self._url, whole=True)], self._url, told(db))

        return await self._database.write(work)


@asynccontextmanager
async def pair(database: Database, spaces: HeldSpaces, device: DeviceKeys, journal: Journal, url: str,
               address: str, now: Callable[[], int]) -> AsyncIterator[Pairing]:
    """Make a code and its inboxes; on leaving, what is left in them is removed.

    `address` is the relay's `url` with its pins, `now` gives Unix milliseconds. Raises `NotAllowed` after
    too many wrong codes.
    """
    database.check_writable()
    await check_guesses(journal, "pairing-refused", now)
    create = spaces.private.space.membership.create
    assert create is not None  # load_space refuses a space without it
    pairing = Pairing(database, spaces, device, journal, url, address, create.person)
    await pairing._open()
    try:
        yield pairing
    finally:
        await pairing._close()
