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

from collections.abc import Collection

from chez.spaces.permits import role_of
from chez.spaces.statements import Role
from chez.store.database import Connection
from chez.sync.checkpoints.errands import Answer
from chez.sync.checkpoints.format import Manifest
from chez.sync.checkpoints.heard import announcements, forget_announced
from chez.sync.checkpoints.order import goes_as_far
from chez.sync.checkpoints.site import Site

__all__ = ("abandoned",)


def abandoned(db: Connection, site: Site, log: bytes, stands: Manifest | None,
              answer: Answer | None) -> dict[bytes, tuple[int, int]]:
    """The segments at a log that are nobody's, and which piece of how many each is of its part.

    Announcements are forgotten, but for the last one of each author, that led to a checkpoint, or of which the relay
    just said that it has nothing: else they would be asked about for ever.
    """
    last: dict[bytes, int] = {}
    free: set[bytes] = set()
    for author, sequence, one in announcements(db, site.space, log):
        last[author] = max(sequence, last.get(author, 0))
        free.update(one.places)
    if not last:
        return {}
    for _, _, manifest in site.manifests(db):
        free.difference_update(manifest.segments)
    if stands is not None:  # dropped on others' word, whatever was found of it here
        free.difference_update(stands.segments)
    out: dict[bytes, tuple[int, int]] = {}
    for author, sequence, one in announcements(db, site.space, log):
        left = {id: at for id, at in one.places.items() if id in free}
        over = _over(site, author, last=sequence == last[author])
        if (not left and sequence < last[author]) or (over and _gone(left, answer)):
            forget_announced(db, site.space, author, sequence)
        elif over or (stands is not None and goes_as_far(db, site.space, stands.vector, one.vector)):
            out |= left
    return out


def _gone(left: Collection[bytes], answer: Answer | None) -> bool:
    """Whether the relay just said that it holds none of these."""
    return answer is not None and bool(answer.drop) and answer.asked.issuperset(left) and (
        answer.held.isdisjoint(left))


def _over(site: Site, author: bytes, *, last: bool) -> bool:
    """Whether nothing comes of an announcement any more, by who said it and whether it is the `last` one of that."""
    role = role_of(site.replica.space, author)
    return role is None or role < Role.WRITER or not last
