"""What is said of a person's devices, copied into every space that the person is in.

Whoever says something of a device says it in the private space and in each other space that
it knows (`say_everywhere`). A space that it did not know yet is opened by some device of
the person later, which copies what is missing there (`copy_person`), as every device does
when it connects: so a device that was let in, or removed, is so in all of them. What was heard in
another space alone, for it was sealed in the private one by keys that nobody has, is said there
too (`tell_private`).
"""

from collections.abc import Iterable

from chez.spaces.membership import Membership
from chez.spaces.space import SpaceKeys, add_to_space, keep_statement
from chez.spaces.statements import PersonBody, Signed
from chez.store.database import Connection

__all__ = ("copy_person", "say_everywhere", "tell_private")


def say_everywhere(db: Connection, spaces: Iterable[SpaceKeys], statement: Signed) -> None:
    """Keep a statement made here about a device of the home's person, to be sent in each of these that has the person.

    It is in effect there from now on.
    """
    assert isinstance(statement.body, PersonBody)
    for space in spaces:
        if space.membership.state.role(statement.body.person) is not None:
            keep_statement(db, space.n, space.membership, statement)


def copy_person(db: Connection, n: int, membership: Membership) -> None:
    """Copy what the private space has about the home's person into the space in row `n`, to be sent there.

    Nothing is copied to where the person does not belong. What is copied is in effect.
    """
    own = dict(db.execute("SELECT key, value FROM meta WHERE key IN ('private', 'person')").fetchall())
    if own.get("private") in (n, None) or membership.state.role(own["person"]) is None:
        return
    missing = db.execute("SELECT body FROM statement AS own WHERE space = ? AND NOT EXISTS "
                         "(SELECT 1 FROM statement WHERE space = ? AND hash = own.hash) ORDER BY n",
                         (own["private"], n)).fetchall()
    statements = [Signed.kept(raw) for (raw,) in missing]
    for statement in statements:
        if isinstance(statement.body, PersonBody) and statement.body.person == own["person"]:
            keep_statement(db, n, membership, statement)


def tell_private(db: Connection, n: int, told: Iterable[Signed]) -> int | None:
    """Copy into the private space what the log of another, in row `n`, told of the home's person, to be sent there.

    Returns the private space's row when there was something new: who has it in memory reads it again.
    """
    about = [one for one in told if isinstance(one.body, PersonBody)]
    if not about:
        return None
    own = dict(db.execute("SELECT key, value FROM meta WHERE key IN ('private', 'person')").fetchall())
    if own.get("private") in (n, None):
        return None
    private = int(own["private"])
    here = "SELECT EXISTS (SELECT 1 FROM statement WHERE space = ? AND hash = ?)"
    missing = [one for one in about if isinstance(one.body, PersonBody) and one.body.person == own["person"]
               and not db.execute(here, (private, one.hash)).fetchone()[0]]
    add_to_space(db, private, missing, [], sent=False)
    return private if missing else None
