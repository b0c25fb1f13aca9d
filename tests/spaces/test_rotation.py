"""A new epoch reaches those who remain and nobody else, and leads back to what was before."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from msgspec import structs

from chez import crypto
from chez.crypto import SealingKey
from chez.errors import BadEntry, NotAllowed
from chez.keys.device import DeviceKeys
from chez.keys.epochs import Epoch, commitment
from chez.spaces.membership import Membership
from chez.spaces.rotation import (
    PACKET_BYTES,
    Farewell,
    StartedEpoch,
    accept_packet,
    first_epoch,
    holds,
    new_epoch,
    open_packet,
    packets_for,
    recovery_tag_of,
    tag_of,
    unled,
    unlock,
)
from chez.spaces.statements import MAX_PREVIOUS, NewEpoch, Previous, Role
from chez_wire.limits import MAX_PACKETS
from tests.spaces.people import ZEROS, Author, Person, begin, seed
from tests.spaces.reference import Model


class World:
    """Alice's space with Bob as a writer and Carol as a reader, of one device each."""

    def __init__(self) -> None:
        self.random = Random(5)
        self.alice, self.bob, self.carol = (Person(name) for name in ("alice", "bob", "carol"))
        first = begin(self.alice)
        self.space = first[-1].hash
        self.members = Membership(self.space)
        self.members.add(first)
        for person in (self.bob, self.carol):
            enrol = person.enrol()
            self.members.add([enrol, person.certify([enrol.hash], 0, person.root)])
        self.author = Author(self.space, self.alice.devices[0].signing)
        self.first = first_epoch(first[-1], self.author.key, self.random.randbytes(32), self.random.randbytes(64))
        self.members.add([self.first.statement])
        self.say(self.author.add(self.heads, self.bob.id, Role.WRITER))
        self.say(self.author.add(self.heads, self.carol.id, Role.READER))

    @property
    def heads(self) -> list[bytes]:
        return sorted(self.members.heads)

    def say(self, statement: object) -> None:
        self.members.add([statement])  # type: ignore[list-item]

    def rotate(self, epochs: dict[bytes, Epoch], by: DeviceKeys | None = None) -> StartedEpoch:
        made = new_epoch(self.members, epochs, (by or self.alice.devices[0]).signing, self.random.randbytes)
        self.members.add([made.statement])
        return made

    def packets(self, epoch: Epoch) -> dict[bytes, bytes]:
        made = packets_for(self.space, self.members.state, epoch, self.author.key, self.random.randbytes)
        return {one.tag: one.box for one in made}

    def open(self, packets: dict[bytes, bytes], device: DeviceKeys) -> Epoch:
        found = accept_packet(self.space, packets[tag_of(self.space, device.sealing.public)], device.sealing)
        assert isinstance(found, Epoch)
        return found


def test_each_role_gets_the_keys_it_may_have() -> None:
    """Owners get all three keys, writers two, readers one; what they get is what the statement commits to."""
    world = World()
    made = world.rotate({world.first.epoch.id: world.first.epoch})
    packets = world.packets(made.epoch)
    for person, seeds in ((world.alice, (True, True)), (world.bob, (True, False)), (world.carol, (False, False))):
        epoch = world.open(packets, person.devices[0])
        assert (epoch.secret, epoch.number, epoch.id) == (made.epoch.secret, 2, made.statement.hash)
        assert (epoch.append_seed is not None, epoch.admin_seed is not None) == seeds
        said = made.statement.body
        assert isinstance(said, NewEpoch) and holds(epoch, said)
        for other in (replace(epoch, number=3), replace(epoch, secret=ZEROS), replace(epoch, append_seed=ZEROS),
                      replace(epoch, admin_seed=ZEROS), replace(epoch, append_seed=ZEROS[1:])):
            assert not holds(other, said)


def test_a_persons_recovery_key_gets_what_the_person_gets_under_a_tag_of_the_spaces_nonce() -> None:
    """Who has the recovery key of a member finds its packet by the nonce of the space, without the space's id."""
    world = World()
    made = world.rotate({world.first.epoch.id: world.first.epoch})
    packets = world.packets(made.epoch)
    assert world.members.create is not None
    for person, admin in ((world.alice, True), (world.bob, False)):
        box = packets[recovery_tag_of(world.members.create.nonce, person.recovery.public)]
        space, epoch = open_packet(box, person.recovery)
        assert space == world.space and isinstance(epoch, Epoch) and (epoch.admin_seed is not None) == admin
        assert tag_of(world.space, person.recovery.public) not in packets


def test_an_owner_who_starts_more_epochs_at_once_than_one_can_name_stops_no_rotation() -> None:
    """The next one names as many as it may, builds on all, and is the newest; by the definition too."""
    world = World()
    world.say(world.author.set_role(world.heads, world.bob.id, Role.OWNER))
    epochs = {world.first.epoch.id: world.first.epoch}
    started = [new_epoch(world.members, epochs, world.bob.devices[0].signing, world.random.randbytes)
               for _ in range(MAX_PREVIOUS + 4)]
    for made in started:
        world.say(made.statement)
        epochs[made.epoch.id] = made.epoch
    assert len(world.members.state.epoch_heads) == MAX_PREVIOUS + 4 and world.members.state.rotation_owed
    last = world.rotate(epochs)
    assert world.members.state.epoch_heads == {last.epoch.id} and not world.members.state.rotation_owed
    assert last.statement.hash in Model(world.space, world.members.statements).facts().epoch_heads
    found = {last.epoch.id: last.epoch}
    assert len(found | {epoch.id: epoch for epoch in unlock(world.members, found)}) == 2 + MAX_PREVIOUS


@pytest.mark.parametrize("removed", [False, True])
def test_who_claims_thousands_of_devices_keeps_no_epoch_from_coming(removed: bool) -> None:
    """A member certifies more devices than a space has packets, and is taken out or not: the new epoch can be sent,
    and everybody else has its keys."""
    world = World()
    state, mallory = world.members.state, world.carol
    (word,) = state.certificates[mallory.devices[0].id].values()
    many = {seed("device", n): {seed("word", n): structs.replace(word, device=seed("device", n),
                                                                 sealing=SealingKey.from_seed(seed(n)).public)}
            for n in range(MAX_PACKETS + 9)}
    grants = {person: held for person, held in state.grants.items() if person != mallory.id or not removed}
    state = structs.replace(state, certificates=many | dict(state.certificates), grants=grants)
    made = packets_for(world.space, state, world.first.epoch, world.author.key, world.random.randbytes)
    assert len(made) == len({one.tag for one in made}) == MAX_PACKETS
    packets = {one.tag: one.box for one in made}
    for person in (world.alice, world.bob):
        assert world.open(packets, person.devices[0]).secret == world.first.epoch.secret
        assert recovery_tag_of(ZEROS, person.recovery.public) in packets
    kinds = Counter(type(accept_packet(world.space, packets[tag_of(world.space, key.public)], key)).__name__
                    for n in range(MAX_PACKETS + 9) if tag_of(world.space, (key := SealingKey.from_seed(
                        seed(n))).public) in packets)
    assert set(kinds) == {"Farewell" if removed else "Epoch"} and kinds.total() > MAX_PACKETS - 9


def test_devices_that_claim_one_sealing_key_do_not_keep_an_epoch_from_being_sent() -> None:
    """A member that certified two devices with one key is out, and one who claims it too: each tag has one packet."""
    world = World()
    bob = world.bob
    bob.devices[2] = DeviceKeys(bob.devices[2].signing, bob.devices[1].sealing)
    for number in (1, 2):
        world.say(bob.certify(world.members.person_heads(bob.id), number, bob.root))
    world.say(world.carol.certify(world.members.person_heads(world.carol.id), 1, world.carol.root,
                                  bob.devices[1].sealing.public))
    for person in (bob, world.carol):
        world.say(world.author.remove(world.heads, person.id))
    made = world.rotate({world.first.epoch.id: world.first.epoch})
    tags = [one.tag for one in packets_for(world.space, world.members.state, made.epoch, world.author.key,
                                           world.random.randbytes)]
    assert len(tags) == len(set(tags)) and tag_of(world.space, bob.devices[1].sealing.public) in tags


def test_who_is_nobody_here_and_who_goes_with_anothers_key_keep_no_epoch_from_being_sent() -> None:
    """A person of whom a member told, and who was never let in, has no farewell; nor has a key, claimed by who goes,
    that somebody has who belongs; and one that two persons' devices claim has one, for a tag has one packet."""
    world, stranger = World(), Person("stranger")
    bob, carol = world.bob, world.carol
    enrol = stranger.enrol()
    for said in (enrol, stranger.certify([enrol.hash], 0, stranger.root)):
        world.say(said)
    hers = carol.devices[0].sealing.public
    world.say(bob.certify(world.members.person_heads(bob.id), 1, bob.root, hers))
    epochs = {world.first.epoch.id: world.first.epoch}
    for gone, stays in ((bob, True), (carol, False)):
        world.say(world.author.remove(world.heads, gone.id))
        made = world.rotate(epochs)
        epochs[made.epoch.id] = made.epoch
        found = packets_for(world.space, world.members.state, made.epoch, world.author.key, world.random.randbytes)
        packets = {one.tag: one.box for one in found}
        assert len(packets) == len(found) and tag_of(world.space, stranger.devices[0].sealing.public) not in packets
        assert isinstance(accept_packet(world.space, packets[tag_of(world.space, hers)], carol.devices[0].sealing),
                          Epoch if stays else Farewell)


def test_who_was_removed_gets_a_farewell_and_all_packets_look_alike() -> None:
    """After a removal who is gone finds a farewell and no key; every packet has one size, their number is a power of
    two."""
    world = World()
    world.say(world.author.remove(world.heads, world.bob.id))
    assert world.members.state.rotation_owed
    packets = world.packets(world.rotate({world.first.epoch.id: world.first.epoch}).epoch)
    assert not world.members.state.rotation_owed
    assert {len(box) for box in packets.values()} == {PACKET_BYTES} and len(packets) & (len(packets) - 1) == 0
    gone = world.bob.devices[0]
    farewell = accept_packet(world.space, packets.pop(tag_of(world.space, gone.sealing.public)), gone.sealing)
    assert isinstance(farewell, Farewell)
    before = Membership(world.space)
    before.add(world.members.statements[:-2])
    assert farewell.proves(before.state, gone.id, gone.sealing.public)
    other = world.carol.devices[0]
    assert not farewell.proves(before.state, other.id, other.sealing.public)
    said = world.space, farewell.epoch, farewell.number.to_bytes(8, "big"), gone.sealing.public
    reader = Farewell(world.space, other.id, farewell.epoch, farewell.number,
                      other.signing.sign("chez/1 farewell", *said))
    assert not reader.proves(before.state, gone.id, gone.sealing.public)
    for other_word in (structs.replace(farewell, number=farewell.number + 1), structs.replace(farewell, epoch=ZEROS)):
        assert not other_word.proves(before.state, gone.id, gone.sealing.public)
    for box in packets.values():
        with pytest.raises(BadEntry):
            accept_packet(world.space, box, gone.sealing)


def test_whose_word_it_is_that_a_device_was_taken_out() -> None:
    """An owner's, another device's of the same person, or the root's of either; nobody else's, nor of who is out."""
    world, stranger = World(), Person("stranger")
    alice, bob, carol = world.alice, world.bob, world.carol
    world.say(bob.certify(world.members.person_heads(bob.id), 1, bob.root))
    device, number = bob.devices[0], 2
    keys = {"owner": alice.devices[0].signing, "owner's root": alice.root, "own root": bob.root,
            "own other": bob.devices[1].signing, "itself": device.signing, "reader": carol.devices[0].signing,
            "reader's root": carol.root, "stranger": stranger.devices[0].signing, "stranger's root": stranger.root}

    def proving(sealing: bytes = device.sealing.public) -> set[str]:
        said = world.space, ZEROS, number.to_bytes(8, "big"), sealing
        return {name for name, key in keys.items() if Farewell(
            world.space, key.public, ZEROS, number, key.sign("chez/1 farewell", *said)).proves(
                world.members.state, device.id, device.sealing.public)}

    assert proving() == {"owner", "owner's root", "own root", "own other"} and not proving(seed("another"))
    world.say(bob.expel(world.members.person_heads(bob.id), bob.devices[1].id, bob.root))
    assert proving() == {"owner", "owner's root", "own root"}
    world.say(world.author.set_role(world.heads, carol.id, Role.OWNER))
    assert proving() == {"owner", "owner's root", "own root", "reader", "reader's root"}
    world.say(world.author.remove(world.heads, carol.id))
    assert proving() == {"owner", "owner's root", "own root"}


def test_a_farewell_is_old_where_keys_of_its_epoch_or_of_a_later_one_are_here() -> None:
    """Not where those before it are alone, nor where nothing is known of its epoch."""
    world = World()
    epochs = {world.first.epoch.id: world.first.epoch}
    for _ in range(3):
        made = world.rotate(epochs)
        epochs[made.epoch.id] = made.epoch
    first, second, third, fourth = epochs

    def old(epoch: bytes, *here: bytes) -> bool:
        return Farewell(world.space, ZEROS, epoch, 2, bytes(64)).stale(world.members, here)

    assert old(third, third) and old(third, first, fourth) and not old(third, first, second) and not old(third)
    assert not old(seed("unknown"), *epochs) and old(seed("unknown"), seed("unknown"))


def test_a_newcomer_reads_back_to_the_first_epoch() -> None:
    """From the newest epoch alone every one before it is unlocked, through a merge of two made at once."""
    world = World()
    known = {world.first.epoch.id: world.first.epoch}
    for _ in range(3):
        made = world.rotate(known)
        known[made.epoch.id] = made.epoch
    side = Membership(world.space)
    side.add(world.members.statements)
    left = world.rotate(known)
    right = new_epoch(side, known, world.alice.devices[0].signing, world.random.randbytes)
    world.members.add([right.statement])
    assert len(world.members.state.epoch_heads) == 2 and world.members.state.rotation_owed
    known |= {left.epoch.id: left.epoch, right.epoch.id: right.epoch}
    merged = world.rotate(known)
    assert not world.members.state.rotation_owed
    found = {epoch.id: epoch for epoch in unlock(world.members, {merged.epoch.id: merged.epoch})}
    assert {id: epoch.secret for id, epoch in found.items()} == {id: epoch.secret for id, epoch in known.items()}


def test_keys_that_an_epoch_had_no_link_to_are_led_to_by_the_next() -> None:
    """Of two epochs started at once, who lacks one's keys follows both; who has them leads on to them."""
    world = World()
    first = {world.first.epoch.id: world.first.epoch}
    side = Membership(world.space)
    side.add(world.members.statements)
    left = world.rotate(first)
    right = new_epoch(side, first, world.alice.devices[0].signing, world.random.randbytes)
    world.members.add([right.statement])
    blind = world.rotate(first | {left.epoch.id: left.epoch})
    known = first | {one.epoch.id: one.epoch for one in (left, right, blind)}
    assert unled(world.members, first | {blind.epoch.id: blind.epoch}) == []
    assert unled(world.members, {left.epoch.id: left.epoch} | first) == []
    assert unled(world.members, known) == [right.epoch.id]
    assert right.epoch.id not in {epoch.id for epoch in unlock(world.members, {blind.epoch.id: blind.epoch})}
    seeing = world.rotate(known)
    assert unled(world.members, known | {seeing.epoch.id: seeing.epoch}) == []
    found = {epoch.id for epoch in unlock(world.members, {seeing.epoch.id: seeing.epoch})}
    assert found == known.keys()


def test_a_link_to_another_secret_leads_to_no_epoch() -> None:
    """An owner links to a made-up secret: whoever has the epoch's keys can tell, and owes an epoch that leads to it."""
    world = World()
    known = {world.first.epoch.id: world.first.epoch}
    false = world.rotate({world.first.epoch.id: Epoch(world.first.epoch.id, 1, bytes(32), None)})
    known[false.epoch.id] = false.epoch
    assert unled(world.members, known) == [world.first.epoch.id]
    true = world.rotate(known)
    assert unled(world.members, known | {true.epoch.id: true.epoch}) == []


def test_only_an_owner_who_has_the_keys_before_rotates() -> None:
    """A writer may not; an owner who has the keys of no epoch to be followed is told to sync first."""
    world = World()
    with pytest.raises(NotAllowed, match="owner"):
        world.rotate({world.first.epoch.id: world.first.epoch}, world.bob.devices[0])
    with pytest.raises(NotAllowed, match="keys"):
        world.rotate({})


def test_a_link_to_what_is_no_secret_leads_to_no_epoch() -> None:
    """An owner links to bytes that no key derives from, for an epoch of which nothing was said here: they are no key.

    The same link with 32 bytes is believed until then: who said that epoch may be read later.
    """
    world, secret, unknown, nonce = World(), seed("secret"), seed("unknown"), bytes(24)
    first = world.first.epoch
    for length in (0, 31, 32, 33, 100):
        links = [Previous(id, first.number, nonce + crypto.encrypt(
            crypto.derive(secret, "chez/1 epoch link"), nonce, plain,
            crypto.hash_fields("chez/1 epoch link", world.space, id)))
            for id, plain in ((first.id, first.secret), (unknown, bytes(length)))]
        side = Membership(world.space)
        side.add(world.members.statements)
        said = world.author.sign(NewEpoch(world.space, side.named_heads, world.author.key.public, 2, links,
                                          commitment(secret), seed("append"), seed("admin")))
        side.add([said])
        found = [epoch.id for epoch in unlock(side, {said.hash: Epoch(said.hash, 2, secret, None)})]
        assert found == ([first.id, unknown] if length == 32 else [first.id])


def test_keys_of_an_epoch_that_nobody_told_of_stop_no_rotation() -> None:
    """A relay put them into a packet, which nobody signs: they are followed by none."""
    world = World()
    made_up = Epoch(seed("made up"), 7, seed("secret"), None)
    named = Epoch(world.space, 7, seed("secret"), None)  # a statement, and no epoch
    known = {one.id: one for one in (world.first.epoch, made_up, named)}
    made = world.rotate(known).statement.body
    assert isinstance(made, NewEpoch) and made.number == 2
    assert [one.epoch for one in made.previous] == [world.first.epoch.id] and unled(world.members, known) == []


def test_an_epoch_of_who_is_no_owner_any_more_is_not_waited_for() -> None:
    """Its keys reached nobody, and who started it was taken out: whoever is an owner still goes on without them."""
    world = World()
    known = {world.first.epoch.id: world.first.epoch}
    world.say(world.author.set_role(world.heads, world.bob.id, Role.OWNER))
    world.rotate(known, world.bob.devices[0])
    with pytest.raises(NotAllowed, match="not here yet"):
        world.rotate(known)
    world.say(world.author.remove(world.heads, world.bob.id))
    assert world.rotate(known).epoch.number == 3


def test_a_key_with_which_everybody_could_read_it_keeps_no_epoch_from_coming() -> None:
    """A member says that a device of its reads by a key of low order: that one gets nothing, the others all of theirs.

    So it is when the member was taken out, and is told that.
    """
    world = World()
    (held,) = world.members.person_heads(world.bob.id)
    world.say(world.bob.certify([held], 1, world.bob.devices[0].signing, sealing=ZEROS))
    assert world.members.state.right(world.bob.devices[1].id) is Role.WRITER
    made = world.rotate({world.first.epoch.id: world.first.epoch})
    packets = world.packets(made.epoch)
    assert tag_of(world.space, ZEROS) not in packets
    assert all(world.open(packets, one.devices[0]).secret == made.epoch.secret
               for one in (world.alice, world.bob, world.carol))
    world.say(world.author.remove(world.heads, world.bob.id))
    made = world.rotate({made.epoch.id: made.epoch})
    packets = world.packets(made.epoch)
    assert tag_of(world.space, ZEROS) not in packets
    assert world.open(packets, world.carol.devices[0]).secret == made.epoch.secret
    assert isinstance(accept_packet(world.space, packets[tag_of(world.space, world.bob.devices[0].sealing.public)],
                                    world.bob.devices[0].sealing), Farewell)


def test_a_false_link_and_a_false_packet_lead_nowhere() -> None:
    """A link that opens to another secret than was committed to is passed over; other spaces' packets are refused."""
    world = World()
    made = world.rotate({world.first.epoch.id: Epoch(world.first.epoch.id, 1, bytes(32), None)})
    assert list(unlock(world.members, {made.epoch.id: made.epoch})) == []
    forged = Epoch(made.epoch.id, 2, bytes(32), None)
    assert list(unlock(world.members, {forged.id: forged})) == []
    packets = world.packets(made.epoch)
    box = packets[tag_of(world.space, world.bob.devices[0].sealing.public)]
    with pytest.raises(BadEntry, match="another space"):
        accept_packet(bytes(32), box, world.bob.devices[0].sealing)
    altered = box[:-1] + bytes([box[-1] ^ 1])
    for bad in (b"", box[:-1], altered, crypto.seal_to(world.bob.devices[0].sealing.public, b"")):
        with pytest.raises(BadEntry):
            accept_packet(world.space, bad, world.bob.devices[0].sealing)
