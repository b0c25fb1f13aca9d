"""Whose word for a checkpoint counts: another person's than its maker's, where the space has another with a device."""

from types import SimpleNamespace
from typing import Any, cast

from chez.sync.checkpoints.site import Site
from tests.spaces.people import Person
from tests.spaces.test_rotation import World


def test_another_persons_word_counts_where_there_is_another() -> None:
    """Neither one's own second device's, nor one's that is no member's, or nobody's; alone, any own device's does.

    A member whose devices were all taken out can vouch for nothing: it is nobody to wait for.
    """
    world, stranger = World(), Person("stranger").devices[0].id
    members, alice, bob, carol = world.members, world.alice, world.bob, world.carol
    (held,) = members.person_heads(alice.id)
    world.say(alice.certify([held], 1, alice.devices[0].signing))
    own, second, his, hers = (one.id for one in (*alice.devices[:2], bob.devices[0], carol.devices[0]))
    site = Site(cast("Any", SimpleNamespace(space=SimpleNamespace(n=1, membership=members))), 1)

    def counting() -> list[tuple[bytes, bytes]]:
        every = (own, second, his, hers, stranger)
        return [(voucher, maker) for voucher in every for maker in every if site.independent(voucher, maker)]

    mine, theirs = (own, second), (his, hers)
    assert set(counting()) == {*((a, b) for a in mine for b in theirs), *((b, a) for a in mine for b in theirs),
                               (his, hers), (hers, his)}
    world.say(world.author.remove(world.heads, carol.id))
    assert (his, own) in counting() and not {(hers, own), (second, own)} & set(counting())
    world.say(bob.expel(members.person_heads(bob.id), his, bob.root))
    assert (second, own) in counting() and not {(hers, own), (stranger, own)} & set(counting())
