"""What a relay keeps of this device's last connection to it, so that the next one costs one frame.

It is in the store, so a program that was started anew takes it up as well as one whose
connection ended. A kept space fits as long as it is followed with the very credentials; when
other spaces or credentials are, the relay keeps another once all that go on are followed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from chez.crypto import SigningKey, random_bytes
from chez.store.database import Connection
from chez.sync.session import Claim, ClientSession
from chez_wire.limits import MAX_SPACES_PER_CONNECTION

__all__ = ("Keeping",)

Proofs = tuple[tuple[str, bytes], ...]
"""The roles that are open at a space, each with the public key that proves it."""

_SEED_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class _Kept:
    """A session that a relay keeps, or was asked to: its key, and the proofs for each handle."""

    key: SigningKey = field(repr=False)
    spaces: dict[bytes, Proofs] = field(repr=False)


@dataclass(slots=True)
class Keeping:
    """What one relay, by its row, keeps; `entropy` gives fresh random bytes.

    With `asks` it is asked to keep what is followed; without, what it keeps is taken up, and that is all.
    """

    entropy: Callable[[int], bytes]
    relay: int = 0
    asks: bool = True
    unsaved: bool = False
    """Whether the store is to be told (`save`)."""
    _kept: _Kept | None = None
    _asked: tuple[int, _Kept] | None = None

    @classmethod
    def load(cls, db: Connection, relay: int, *, asks: bool) -> "Keeping":
        """What a relay keeps, as far as the store knows."""
        keeping = cls(random_bytes, relay, asks)
        row = db.execute("SELECT seed, spaces FROM kept WHERE relay = ?", (relay,)).fetchone()
        if row is not None:
            keeping._kept = _Kept(SigningKey.from_seed(row[0]),
                                  msgspec.msgpack.decode(row[1], type=dict[bytes, Proofs]))
        return keeping

    def save(self, db: Connection) -> None:
        """Tell the store."""
        self.unsaved = False
        kept = self._kept
        db.execute("DELETE FROM kept WHERE relay = ?", (self.relay,))
        if kept is not None:
            db.execute("INSERT INTO kept (relay, seed, spaces) VALUES (?, ?, ?)",
                       (self.relay, kept.key.seed, msgspec.msgpack.encode(kept.spaces)))

    @property
    def handles(self) -> tuple[bytes, ...]:
        """The spaces that the relay keeps; none when it keeps nothing."""
        return () if self._kept is None else tuple(self._kept.spaces)

    @property
    def key(self) -> SigningKey | None:
        """What takes it up."""
        return None if self._kept is None else self._kept.key

    def fits(self, handle: bytes, claims: list[Claim]) -> bool:
        """Whether a kept space would be opened by the same proofs."""
        return self._kept is not None and bool(claims) and self._kept.spaces.get(handle) == _proofs(claims)

    def forget(self) -> None:
        """Nothing is kept that could be taken up."""
        self._kept = self._asked = None
        self.unsaved = True

    def ask(self, session: ClientSession, opened: Mapping[bytes, list[Claim]]) -> None:
        """Let the relay keep what is followed, unless it does or it is too much; `opened` has the claims that did.

        What nobody tells the claims of is kept with the rest, and not taken up again.
        """
        spaces = {handle: _proofs(opened.get(handle, [])) for handle in session.followed}
        if not self.asks or (self._kept is not None and self._kept.spaces == spaces) or (
                not 1 <= len(spaces) <= MAX_SPACES_PER_CONNECTION):
            return
        key = SigningKey.from_seed(self.entropy(_SEED_BYTES))
        self._kept, self._asked = None, (session.keep(key.public), _Kept(key, spaces))

    def answered(self, ref: int, alike: bool) -> bool:
        """Whether this is the answer to what was asked: the relay keeps it, if it is `alike`.

        It is not when roles ended at the same time; then a space is opened again, and after it this is asked
        again.
        """
        asked = self._asked
        if asked is None or asked[0] != ref:
            return False
        self._asked = None
        if alike:
            self._kept, self.unsaved = asked[1], True
        return True

    def hung_up(self) -> None:
        """The connection ended: an answer comes no more."""
        self._asked = None


def _proofs(claims: list[Claim]) -> Proofs:
    return tuple(sorted((str(role), key.public) for _, role, key in claims))
