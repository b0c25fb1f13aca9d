"""The relays of a home: one that it is known by, and those beside it, which have all of it too."""

from collections.abc import Sequence

from chez.errors import InvalidValue, NotFound
from chez.home.reports import RelayStatus
from chez.home.syncing import Syncing
from chez.sync.connection import relay_name
from chez.sync.pinning import check_pins, split
from chez_wire.limits import MAX_TEXT

__all__ = ("Relays",)


class Relays:
    """Which relays keep what this home has; made by `Home.relays`.

    Every space that has no relay of its own is kept in step with each of them: what one of them
    loses or withholds the others have, and while one can't be reached the others go on. Each
    device of the person names its relays itself.
    """

    def __init__(self, syncing: Syncing) -> None:
        self._syncing = syncing

    def __repr__(self) -> str:
        return f"<Relays {', '.join(one.url for one in self.list())}>"

    def list(self) -> list[RelayStatus]:
        """How the connection to each stands, that of the home first."""
        return self._syncing.relays()

    async def add(self, url: str, *, pins: Sequence[str] | None = None) -> None:
        """Keep everything at one more relay, which is filled with what is here; at once while connected.

        With `pins` as in `pin`. Again is fine. Raises `InvalidValue` for what is no relay's address, and as `pin`,
        `NotFound` while the home has no relay (`Home.set_relay`).
        """
        relay_name(url)
        home = self._syncing.choose(None)
        if pins is not None:
            await self.pin(url, pins)
        if url != home:
            await self._syncing.add(url)

    async def pin(self, url: str, pins: Sequence[str]) -> None:
        """Dial a relay from now on only if its certificate's key is one of these; without any, as any that is trusted.

        A pin is `sha256:` and the hash of the certificate's SubjectPublicKeyInfo in base64, which `chez-relay pin`
        prints. It comes beside the trust in the certificate, not in its place. Name two, the key in use and the next
        one, and a relay may change its key. Who answers with another one is told nothing (`WrongPin`). Raises
        `InvalidValue` for what is no pin, for more than eight, and for an address without TLS.
        """
        relay_name(url)
        await self._syncing.pin(url, check_pins(url, pins))

    def pins(self, url: str) -> tuple[str, ...]:
        """The pins that this home has for a relay."""
        return split(self._syncing.address(url))[1]

    def address(self, url: str) -> str:
        """What is dialled to reach a relay: its URL, with the pins that this home has for it behind a `#`."""
        return self._syncing.address(url)

    async def token(self, url: str, token: str) -> None:
        """Remember the token that a relay's operator gave out, which some want for making spaces; empty forgets it.

        It stays on this device, and goes to that relay alone. Raises `InvalidValue` for what is no relay's address,
        and for a token of more than 512 characters.
        """
        relay_name(url)
        if len(token) > MAX_TEXT:
            raise InvalidValue(f"a token has at most {MAX_TEXT} characters")
        await self._syncing.allow(url, token)

    async def remove(self, url: str) -> None:
        """Keep in step with a relay no more; what it has stays there.

        Raises `NotFound` for one that was not added, `InvalidValue` for the home's own.
        """
        if url == self._syncing.choose(None):
            raise InvalidValue(f"{url} is the relay that this home is known by", "Set another one first.")
        if not await self._syncing.remove(url):
            raise NotFound(f"this home is not kept at {url}", "`chez relay list` tells where it is.")
