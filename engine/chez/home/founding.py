"""Making a space of one's own."""

from chez import crypto
from chez.home.assembly import OpenHome
from chez.spaces.permits import check_device
from chez.spaces.space import make_space
from chez.spaces.statements import Kind
from chez.store.database import Connection
from chez.sync.connection import relay_name

__all__ = ("found_space",)


async def found_space(home: OpenHome, name: str, kind: Kind, relay: str | None) -> int:
    """Make a space; returns its row. Durable, and opened at its relay if the home is connected.

    Raises `InvalidValue` for a name that can't be one or that a space here has, or a relay that is none, `NotAllowed`
    for a device that was taken out.
    """
    if relay is not None:
        relay_name(relay)

    def work(db: Connection) -> int:
        home.spaces.check_name(name)
        home.spaces.private.replica.refresh(db)
        check_device(home.spaces.private.space, home.device.id)  # its words count for nobody, nor here the next time
        n = make_space(db, home.spaces.private.space, home.device, name, kind, crypto.random_bytes, relay)
        (id,) = db.execute("SELECT id FROM space WHERE n = ?", (n,)).fetchone()
        home.journal.record(db, "public-space-created" if kind is Kind.PUBLIC else "space-created",
                            {"name": name, "space": id.hex()})
        return n

    n = await home.database.write(work)
    await home.syncing.found(n)
    return n
