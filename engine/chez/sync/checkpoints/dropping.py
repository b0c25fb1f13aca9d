"""What an owner's device asks a relay to drop: entries that were vouched for, and chunks that no longer serve."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from chez.errors import BadEntry
from chez.spaces.permits import role_of
from chez.spaces.statements import Role
from chez.store.database import Connection
from chez.sync.checkpoints.abandoned import abandoned
from chez.sync.checkpoints.errands import Answer, Ask, Drop, Errand, Look
from chez.sync.checkpoints.format import Manifest, Vouch, open_segment
from chez.sync.checkpoints.heard import (
    HEARD,
    OPEN,
    UNFIT,
    author_of,
    checkpoints,
    is_proven,
    manifest_of,
    set_vouch,
    state_of,
    unsay,
    vouches,
)
from chez.sync.checkpoints.order import chain, goes_as_far, last_known
from chez.sync.checkpoints.parting import released
from chez.sync.checkpoints.site import Site
from chez.sync.checkpoints.vouching import fits, vouch_for
from chez.sync.entry import UnknownEpoch
from chez.sync.session import Dropping as Request
from chez_wire.dropping import NO_CHECKPOINT
from chez_wire.limits import MAX_DROPPED

__all__ = ("Dropping",)

_AT_ONCE: Final = 8
"""Segments that are looked at together: a few megabytes."""


@dataclass(slots=True)
class Dropping:
    """The dropping of a space's entries, and the releasing of its chunks, at one relay."""

    site: Site
    unread: int = 0
    """Up to where the relay is to be read before a vouch that waits for that is judged; 0: none does."""
    _passed: set[bytes] = field(default_factory=set)
    """Vouches that can't be dropped on this connection, and drops after which something was released, or can't be."""
    _seen: dict[bytes, bool] = field(default_factory=dict)
    """Segments that were looked at before they are released, and whether they are such."""
    _left: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """Segments that are nobody's on a member's word alone, and the place of each in its part."""

    def step(self, db: Connection, answer: Answer | None) -> Errand:
        """The next thing to ask for."""
        replica = self.site.replica
        epoch = replica.access.epoch_at(db, self.site.relay)
        control = replica.space.control_of(epoch)
        if epoch.admin is None or control is None:
            return None
        self.unread, log = 0, self.site.log(db)
        known = [entry for entry, _ in checkpoints(db, replica.space)]
        waiting = [(entry, author, vouch) for entry, author, vouch, state in vouches(db, self.site.space)
                   if state == OPEN and vouch.log == log and vouch.control == control.public
                   and entry not in self._passed]
        # Of several the one that rests on the newest checkpoint first: the others may come too late then.
        place = {entry: n for n, entry in enumerate(known)}
        for entry, author, vouch in sorted(waiting, key=lambda one: place.get(one[2].manifest, len(known))):
            may = self._may(db, entry, author, vouch, answer)
            if isinstance(may, Ask):
                return may
            if may:
                return Drop(entry, epoch.admin, Request(
                    vouch.incarnation, vouch.follows, vouch.manifest, tuple(vouch.ranges), tuple(vouch.release),
                    vouch.control, vouch.signature))
        return self._release(db, log, answer)

    def passed(self, entry: bytes) -> None:
        """The relay did not drop what a vouch names, which may be another drop's fault: not on this connection."""
        self._passed.add(entry)

    def _may(self, db: Connection, entry: bytes, author: bytes, vouch: Vouch, answer: Answer | None) -> Ask | bool:
        """Whether what a vouch names may be dropped now, or what is to be asked before."""
        site = self.site
        if not vouch.ranges:
            return self._own(entry, author, vouch, answer)
        try:
            manifest = manifest_of(db, site.space, vouch.manifest)
        except LookupError:
            return False  # it is not here yet
        if not site.holds(db, manifest):
            return False  # nor all that it stands for: another relay may have brought the vouch before
        if not site.knows(author, author_of(db, site.space, vouch.manifest)):
            return False  # nor what is said of who vouches for it, or made it
        if site.counts(db, author, vouch) and not site.speaks(author, author_of(db, site.space, vouch.manifest)):
            return False  # it was taken out; should that come to count for nothing, its word is good again
        fit = site.counts(db, author, vouch) and fits(db, site, vouch, manifest)
        if not fit:
            if fit is not None:
                set_vouch(db, site.space, entry, UNFIT)
            elif (last := max(one.last for one in vouch.ranges)) > site.read(db):
                self.unread = min(last, self.unread or last)
            return False
        if answer is None or answer.entry != vouch.manifest:
            return Ask(vouch.manifest, tuple(manifest.segments))
        if vouch.follows == answer.drop and site.bears(db, manifest, answer):
            return True
        self._passed.add(entry)
        return False

    def _own(self, entry: bytes, author: bytes, vouch: Vouch, answer: Answer | None) -> Ask | bool:
        """The same where chunks alone are released: who said so has looked, and nobody else asks for it."""
        if author != self.site.replica.access.device:
            return False
        if answer is None or answer.entry != entry:
            return Ask(entry, tuple(vouch.release))
        self._passed.add(entry)
        return vouch.follows == answer.drop

    def looked(self, db: Connection, segments: Mapping[bytes, bytes]) -> None:
        """Segments that are nobody's came, or nothing of one: what is none (an attachment's piece) is left alone.

        Who named that lied, and is believed nothing else of what it said there: else all of it, which may be
        every attachment, would come anew with each connection.
        """
        space, lies = self.site.replica.space, {}
        for id, data in segments.items():
            self._seen[id] = False
            try:
                open_segment(data, space.id, space.epochs, *self._left[id])
                self._seen[id] = True
            except (UnknownEpoch, KeyError):
                continue
            except BadEntry:
                if data:
                    lies[id] = self._left[id]
        if lies:
            unsay(db, self.site.space, self.site.log(db), lies)
            self._refuse(db, lies)
            for id in lies:  # somebody else may have said better where it belongs
                del self._seen[id]

    # --- releasing ------------------------------------------------------------------------

    def _release(self, db: Connection, log: bytes, answer: Answer | None) -> Errand:
        """Say which chunks do not serve any more, if there are any: once after each drop."""
        site, last = self.site, last_known(db, self.site.space, log)
        try:
            stands = site.standing(db, last)
        except LookupError:
            return None
        gone: set[bytes] = set()
        trusted: set[bytes] = set()
        for said, vouch in chain(db, site.space, log, last):
            gone.update(vouch.release)
            if is_proven(db, site.space, vouch.manifest) or any(site.counts(db, author, vouch) and site.speaks(
                    author, author_of(db, site.space, vouch.manifest)) for _, author in said):
                trusted.add(vouch.manifest)
        if stands is not None and stands[0] not in trusted:
            return None  # on the word of who made it nothing goes
        old, unproven = ([], {}) if stands is None else self._outlived(db, trusted, gone, stands[1])
        freed = released(db, site.replica.space, site.replica.access.device, site.relay, log, gone)
        self._left = unproven | abandoned(db, site, log, stands and stands[1], answer)
        if not (old or freed or self._left) or last in self._passed:
            return None
        entry, serve = (NO_CHECKPOINT, freed[:1]) if stands is None else (stands[0], stands[1].segments)
        if answer is None or answer.entry != entry or not answer.asked.issuperset([*old, *self._left]):
            return Ask(entry, tuple(dict.fromkeys([*serve, *old, *self._left])))
        if unseen := [id for id in self._left if id in answer.held and id not in self._seen][:_AT_ONCE]:
            return Look(tuple(unseen))
        old += [id for id in self._left if self._seen.get(id)]
        self._passed.add(last)
        # What another relay's checkpoint is in was never here.
        chunks = [*(id for id in old if id in answer.held), *freed]
        if answer.drop != last or not (chunks and (stands is None or answer.held.issuperset(serve))):
            return None
        return vouch_for(db, site, NO_CHECKPOINT, last, [], chunks[:MAX_DROPPED])

    def _outlived(self, db: Connection, trusted: Collection[bytes], gone: Collection[bytes],
                  manifest: Manifest) -> tuple[list[bytes], dict[bytes, tuple[int, int]]]:
        """The segments of checkpoints that another one stands for too, which nobody may rest a drop on.

        Those of checkpoints that were compared, here or by whoever vouched for a drop (`trusted`); and those of others
        whose maker can't release them, being no owner's device, or none any more. These are looked at first: who made
        one up could name whatever it likes. What is `gone` is not asked about again, but for what this device itself
        may have put again since: an owner's other one released it as nobody's, while the checkpoint was not said yet.
        """
        old: dict[bytes, None] = {}
        unproven: dict[bytes, tuple[int, int]] = {}
        serve, me = [], self.site.replica.access.device
        for other, author, one in self.site.manifests(db):
            if not goes_as_far(db, self.site.space, manifest.vector, one.vector):
                serve.append(other)
            elif other in trusted or state_of(db, self.site.space, other) != HEARD:
                again = author == me and other not in trusted
                old |= dict.fromkeys(id for id in one.segments if again or id not in gone)
            elif role_of(self.site.replica.space, author) != Role.OWNER:
                unproven |= {id: at for id, at in one.places.items() if id not in gone}
        for other in serve if old or unproven else ():  # any may name as many as it likes
            for id in manifest_of(db, self.site.space, other).segments:
                old.pop(id, None)
                unproven.pop(id, None)
        stand = set(manifest.segments)
        return ([id for id in old if id not in stand],
                {id: at for id, at in unproven.items() if id not in stand and id not in old})

    def _refuse(self, db: Connection, lies: Mapping[bytes, tuple[int, int]]) -> None:
        """Believe no checkpoint any more that nobody compared and that names any of these, at these places."""
        for entry, _, manifest in self.site.manifests(db):
            if state_of(db, self.site.space, entry) == HEARD and not lies.items().isdisjoint(manifest.places.items()):
                self.site.refuse(db, entry, "it names what is no segment of it")
