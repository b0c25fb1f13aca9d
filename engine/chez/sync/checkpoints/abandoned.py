"""Segments that were put at a relay for a checkpoint that nobody will say any more, by what was announced of them.

A device announces which segments it is about to put. They are nobody's when no manifest that is here names them (none
that was refused counts, but the one that stands for what was dropped), and

- whoever announced them does not write in the space any more, or
- announced other ones at the same log since, for it makes one checkpoint at a time, or
- the checkpoint that stands for what was dropped there goes as far: nothing could rest on one that goes less far.

An announcement is a member's word and no more. It may name what an attachment or another's draft consists of; so what
it names is looked at before an owner's device releases it (`dropping`): where that is no segment, or of another place,
the announcement is forgotten. A draft that lost segments all the same is not whole: no drop rests on it, and it is made
anew.
"""

from chez.spaces.permits import role_of
from chez.spaces.statements import Role
from chez.store.database import Connection
from chez.sync.checkpoints.format import Manifest
from chez.sync.checkpoints.heard import HEARD, MADE, SOUND, TAKEN, announcements, forget_announced, manifests
from chez.sync.checkpoints.order import goes_as_far
from chez.sync.checkpoints.site import Site

__all__ = ("abandoned",)


def abandoned(db: Connection, site: Site, log: bytes, stands: Manifest | None) -> dict[bytes, tuple[int, int]]:
    """The segments at a log that are nobody's, and which piece of how many each is of its part.

    Announcements that led to a checkpoint are forgotten, but for the last one of each author.
    """
    said = announcements(db, site.space, log)
    if not said:
        return {}
    serve = {id for _, _, one in manifests(db, site.space, HEARD, MADE, SOUND, TAKEN) for id in one.segments}
    if stands is not None:  # dropped on others' word, whatever was found of it here
        serve.update(stands.segments)
    last: dict[bytes, int] = {}
    for author, sequence, _ in said:
        last[author] = max(sequence, last.get(author, 0))
    out: dict[bytes, tuple[int, int]] = {}
    for author, sequence, one in said:
        left = {id: at for id, at in one.places.items() if id not in serve}
        if not left and sequence < last[author]:
            forget_announced(db, site.space, author, sequence)
        elif _over(site, author, last=sequence == last[author]) or (
                stands is not None and goes_as_far(db, site.space, stands.vector, one.vector)):
            out |= left
    return out


def _over(site: Site, author: bytes, *, last: bool) -> bool:
    """Whether nothing comes of an announcement any more, by who said it and whether it is the `last` one of that."""
    role = role_of(site.replica.space, author)
    return role is None or role < Role.WRITER or not last
