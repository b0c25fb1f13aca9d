"""Spaces taken back at their relays by the 24 words.

Whoever has a stolen device may replace a relay's keys by some that nobody else has, before or
while a home comes back, or delete a space there. The relay takes the word of the recovery key
of who made a space before any owner's (docs/protocol.md, `Rotate`), and lets nobody make a
space anew at a handle that was deleted but under the same recovery key. That key is at hand
now, and never again.
"""

from collections.abc import Collection
from contextlib import suppress

from chez import crypto
from chez.errors import BadEntry, RelayMisbehaved, RelayRefused, RelayUnreachable
from chez.home.held import Held
from chez.home.home import Home
from chez.home.reports import SyncReport
from chez.home.syncing import relay_row
from chez.keys.epochs import Epoch
from chez.keys.person import Person
from chez.spaces.rotation import accept_packet, recovery_tag_of
from chez.store.database import Connection
from chez.sync.connection import RelayConnection, connect
from chez.sync.requests import Rotation
from chez.sync.rotating import taken_back
from chez_wire.login import Role

__all__ = ("sync_back", "words_open")


async def sync_back(home: Home, person: Person, timeout: float, *, reseed: bool) -> SyncReport:
    """Sync a home that came back, and again when spaces were taken back.

    Those that its relays did not open to it, and those whose keys there are not its own: it read
    them by a packet that has no more. Raises what `Home.sync` does.
    """
    tried: set[str] = set()
    while True:
        try:
            report = await home.sync(timeout=timeout, reseed=reseed)
        except RelayRefused:
            shut = {home._spaces.private.id} - tried
            if not await _take_back(home, person, shut):
                raise
        else:
            shut = ({space.id for space in report.problems} | await _under_others_keys(home)) - tried
            taken = False
            with suppress(RelayRefused):  # at a relay beside the one that takes all
                taken = await _take_back(home, person, shut)
            if not taken:
                return report
        tried |= shut


async def _under_others_keys(home: Home) -> set[str]:
    """The spaces at whose relays the keys are not those of the epoch that is sealed under here."""
    def work(db: Connection) -> set[str]:
        there = {(space, url): epoch for space, url, epoch in db.execute(
            "SELECT cursor.space, url, cursor.epoch FROM cursor JOIN relay ON relay.n = cursor.relay")}
        return {held.id for held in home._spaces.all.values() for url in home._syncing.routes.urls_of(held.space)
                if there.get((held.space.n, url)) != held.space.epoch.id}

    return await home._database.read(work)


async def _take_back(home: Home, person: Person, shut: Collection[str]) -> bool:
    """Replace the keys at relays in those of these spaces that the person made, and no key here opens; whether any.

    Raises `RelayRefused` where none was, and a relay wants a token for that.
    """
    taken, wanting = False, None
    for held in list(home._spaces.all.values()):
        create = held.space.membership.create
        if held.id in shut and create is not None and create.person == person.root.public:
            for url in home._syncing.routes.urls_of(held.space):
                try:
                    taken = await _take_back_at(home, person, url, held) or taken
                except RelayRefused as error:
                    wanting = error
    if wanting is not None and not taken:
        raise wanting
    return taken


async def _take_back_at(home: Home, person: Person, url: str, held: Held) -> bool:
    def work(db: Connection) -> tuple[Rotation | None, str]:
        held.replica.refresh(db)
        (token,) = db.execute("SELECT token FROM relay WHERE n = ?", (relay_row(db, url),)).fetchone()
        return taken_back(held.space, person.root, crypto.random_bytes), token

    rotation, token = await home._database.write(work)
    if rotation is None:
        return False
    try:
        async with connect(home._syncing.routes.address(url)) as relay:
            (outcome,) = await relay.open([(held.space.handle, Role.READ, held.space.epoch.read)])
            if outcome.error in ("unknown", "deleted") and held.space.private:
                await _make_anew(relay, person, rotation, token)
            elif outcome.error != "denied":
                return False
            await relay.rotate(held.space.handle, person.relay_recovery, rotation)
            return True
    except (RelayRefused, RelayUnreachable, RelayMisbehaved) as error:
        if isinstance(error, RelayRefused) and error.reason == "token":
            raise
        return False  # the report of the sync says what is the matter


async def _make_anew(relay: RelayConnection, person: Person, rotation: Rotation, token: str) -> None:
    """Make the private space at a relay where it was deleted: the key that names it is in the words, and lost to a
    device that came back by them. The rotation that follows brings the keys: it takes another read key for that."""
    read = crypto.SigningKey.from_seed(crypto.random_bytes(32)).public
    await relay.create_space(person.admin, person.relay_recovery.public, read, rotation.append_key,
                             rotation.control_key, token)


async def words_open(home: Home, person: Person, url: str) -> str:
    """Why the words would find nothing of the private space at a relay, asked as a recovery asks; empty if they would.
    """
    space = home._spaces.private.space
    try:
        async with connect(home._syncing.routes.address(url)) as relay:
            box = await relay.get_packet(space.handle, recovery_tag_of(person.nonce, person.recovery.public))
        found = accept_packet(space.id, box, person.recovery)
    except (RelayRefused, RelayUnreachable, RelayMisbehaved, BadEntry) as error:
        return str(error)
    if not isinstance(found, Epoch) or found.id not in space.epochs:
        return "the relay has other keys for your words than this device has"
    return ""
