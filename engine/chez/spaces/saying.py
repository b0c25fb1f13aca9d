"""A statement about a space, said by this device in an open transaction."""

from chez import crypto
from chez.errors import NotAllowed
from chez.spaces.space import SpaceKeys, keep_statement
from chez.spaces.statements import Signed, SpaceBody, sign_statement
from chez.store.database import Connection

__all__ = ("say",)


def say(db: Connection, space: SpaceKeys, device: crypto.SigningKey, body: SpaceBody) -> Signed:
    """Sign a statement and keep it: it is in effect, and waits for its entry.

    Raises `NotAllowed` when it takes no effect, `InvalidValue` when nobody could read it; the
    transaction is to be undone then.
    """
    statement = sign_statement(body, device)
    keep_statement(db, space.n, space.membership, statement)
    why = next((reason for one, reason in space.membership.void() if one.hash == statement.hash), None)
    if why is not None:
        raise NotAllowed(f"this can't be said here: {why}", "Sync first: somebody may have changed it.")
    return statement
