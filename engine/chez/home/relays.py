"""The relays of a home: one that it is known by, and those beside it, which have all of it too."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from chez.checked import checked
from chez.errors import ChezError, InvalidValue, NotFound
from chez.home.held import HeldSpaces
from chez.home.relay_list import COLLECTION, RelayList
from chez.home.reports import RelayStatus
from chez.home.syncing import Syncing
from chez.journal import Journal
from chez.sync.connection import relay_name
from chez.sync.pinning import check_pins, split
from chez.tasks import stop
from chez_wire.limits import MAX_TEXT

__all__ = ("Relays",)

@checked
class Relays:
    """Which relays keep what this home has; made by `Home.relays`.

    Every space that has no relay of its own is kept in step with each of them: what one of them
    loses or withholds the others have, and while one can't be reached the others go on. All devices of
    the person go by the same list: what is said on one the others hear with their next sync, and follow. What is
    said with `here` is for this device alone.
    """

    def __init__(self, syncing: Syncing, spaces: HeldSpaces, journal: Journal) -> None:
        self._syncing = syncing
        self._spaces = spaces
        self._list = RelayList(syncing.database, spaces.private, journal)

    def __repr__(self) -> str:
        return f"<Relays {', '.join(one.url for one in self.list())}>"

    def list(self) -> list[RelayStatus]:
        """How the connection to each stands, that of the home first."""
        return self._syncing.standing.relays()

    async def set(self, url: str, *, pins: Sequence[str] | None = None, here: bool = False) -> None:
        """Let the home be known by another relay; with `pins` as in `pin`.

        Where there are other devices, relays beside it, or others in spaces that are kept there, the former one is kept
        beside it until it is removed, for they may have to hear of it there. Raises `InvalidValue`.
        """
        relay_name(url)
        await self._list.choose(url, here=here, pins=None if pins is None else check_pins(url, pins))
        await self._syncing.settle()

    async def add(self, url: str, *, pins: Sequence[str] | None = None, here: bool = False) -> None:
        """Keep everything at one more relay, which is filled with what is here; at once while connected.

        With `pins` as in `pin`. Again is fine. Raises `InvalidValue` for what is no relay's address, for more than 16,
        and as `pin`, `NotFound` while the home has no relay (`Home.set_relay`).
        """
        relay_name(url)
        checked = None if pins is None else check_pins(url, pins)
        if url != self._syncing.routes.choose(None):
            await self._list.keep(url, here=here, pins=checked)
            await self._syncing.settle()
        elif checked is not None:
            await self.pin(url, checked)

    async def token(self, url: str, token: str) -> None:
        """Remember the token that a relay's operator gave out, which some want for making spaces; empty forgets it.

        It goes to that relay alone, and to the person's devices. Raises `InvalidValue` for what is no relay's address,
        and for a token of more than 512 characters.
        """
        relay_name(url)
        if len(token) > MAX_TEXT:
            raise InvalidValue(f"a token has at most {MAX_TEXT} characters")
        await self._list.note(url, token=token)
        await self._syncing.settle()

    async def pin(self, url: str, pins: Sequence[str]) -> None:
        """Dial a relay from now on only if its certificate's key is one of these; without any, as any that is trusted.

        A pin is `sha256:` and the hash of the certificate's SubjectPublicKeyInfo in base64, which `chez-relay pin`
        prints. It comes beside the trust in the certificate, not in its place. Name two, the key in use and the next
        one, and a relay may change its key. Who answers with another one is told nothing (`WrongPin`). Raises
        `InvalidValue` for what is no pin, for more than eight, and for an address without TLS.
        """
        relay_name(url)
        await self._list.note(url, pins=check_pins(url, pins))
        await self._syncing.settle()

    def pins(self, url: str) -> tuple[str, ...]:
        """The pins that this home has for a relay."""
        return split(self._syncing.routes.address(url))[1]

    def address(self, url: str) -> str:
        """What is dialled to reach a relay: its URL, with the pins that this home has for it behind a `#`."""
        return self._syncing.routes.address(url)

    async def remove(self, url: str, *, here: bool = False) -> tuple[str, ...]:
        """Keep in step with a relay no more; what it has stays there.

        While connected to it, that is said there first. Returns the names of this person's other devices of which
        nothing came since the home's relay was set: one that was away since, and knows of this relay alone, would hear
        of nothing more, until the relay is set on it (or `add` brings this one back). Raises `NotFound` for one that
        was not added, `InvalidValue` for the home's own.
        """
        if url == self._syncing.routes.choose(None):
            raise InvalidValue(f"{url} is the relay that this home is known by", "Set another one first.")
        if not await self._list.let_go(url, here=here):
            raise NotFound(f"this home is not kept at {url}", "`chez relay list` tells where it is.")
        await self._syncing.settle()
        return () if here else await self._list.unheard(self._syncing.device)

    async def follow(self) -> None:
        """Go by what other devices of the person said of relays, as far as it is here."""
        await self._list.follow()
        await self._syncing.settle()

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Do so while the block lasts, whenever there is something new. Called when the home opens."""
        async def take_over() -> None:
            with suppress(ChezError):  # a full disk keeps no home from opening: the next news or opening tries again
                await self.follow()

        async def listen() -> None:
            with self._spaces.news.follow(COLLECTION) as follower:
                while await follower.news():
                    await take_over()

        await take_over()

        task = asyncio.create_task(listen())
        try:
            yield
        finally:
            await stop(task)
