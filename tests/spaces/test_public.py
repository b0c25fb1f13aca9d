"""Public spaces: one key opens the epochs for everybody, and nothing but reading comes with it; addresses."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chez import crypto
from chez.errors import InvalidValue
from chez.keys.epochs import Epoch
from chez.spaces.membership import Membership
from chez.spaces.public import Address, reader_key, reader_of
from chez.spaces.rotation import accept_packet, first_epoch, new_epoch, packets_for, tag_of
from chez.spaces.statements import Create, Kind, Role, Signed, sign_statement
from chez_wire.pins import pins_from
from tests.spaces.people import Author, Person
from tests.vectors.fixed import EPOCH
from tests.vectors.golden import golden
from tests.vectors.make_public import vectors

GOLDEN = golden("public")
NONCE = bytes(range(32))
names = st.text(min_size=1, max_size=128)
ids = st.binary(min_size=32, max_size=32)
pins = st.lists(ids, max_size=8).map(pins_from)
addresses = st.builds(Address, ids, ids, st.text(min_size=1, max_size=512), ids, names, pins)


class Published:
    """Alice's public space, with Bob as a writer."""

    def __init__(self, kind: Kind = Kind.PUBLIC) -> None:
        self.random = Random(7)
        self.alice, self.bob = Person("alice"), Person("bob")
        enrol = self.alice.enrol()
        log = [enrol, self.alice.certify([enrol.hash], 0, self.alice.root)]
        device = self.alice.devices[0]
        create = sign_statement(Create([log[-1].hash], device.id, self.alice.id, kind, bytes(32), NONCE, "news"),
                                device.signing)
        self.space = create.hash
        self.author = Author(self.space, device.signing)
        first = first_epoch(create, device.signing, self.random.randbytes(32), self.random.randbytes(64))
        self.members = Membership(self.space)
        self.members.add([*log, create, first.statement])
        self.epochs = [first.epoch]

    def add(self, person: Person, role: Role) -> None:
        enrol = person.enrol()
        self.members.add([enrol, person.certify([enrol.hash], 0, person.root)])
        self.members.add([self.author.add(sorted(self.members.heads), person.id, role)])

    def rotate(self) -> Epoch:
        made = new_epoch(self.members, {one.id: one for one in self.epochs}, self.author.key, self.random.randbytes)
        self.members.add([made.statement])
        self.epochs.append(made.epoch)
        return made.epoch

    def packets(self) -> dict[bytes, bytes]:
        made = packets_for(self.space, self.members.state, self.epochs[-1], self.author.key, self.random.randbytes)
        return {one.tag: one.box for one in made}


def test_whoever_has_the_address_finds_each_epoch_and_gets_the_secret_alone() -> None:
    """Over rotations one key opens each epoch's packet: the secret is in it, no credential to write or to rule."""
    published, key = Published(), reader_key(NONCE)
    published.add(published.bob, Role.WRITER)
    for _ in range(3):
        epoch = published.rotate()
        found = accept_packet(published.space, published.packets()[tag_of(published.space, key.public)], key)
        assert isinstance(found, Epoch)
        assert (found.id, found.secret, found.append_seed, found.admin_seed) == (epoch.id, epoch.secret, None, None)
        assert found.public_control is None


def test_a_space_that_is_shared_has_no_packet_for_everybody() -> None:
    """Only the kind that its first statement says makes a space readable by its nonce."""
    shared = Published(Kind.SHARED)
    assert reader_of(shared.members.state) is None
    assert tag_of(shared.space, reader_key(NONCE).public) not in shared.packets()


def test_a_writer_who_calls_everybodys_key_its_own_gives_no_more_away() -> None:
    """A writer's device certified with the readers' key leaves their packet as it was."""
    published, key = Published(), reader_key(NONCE)
    enrol = published.bob.enrol()
    device = published.bob.devices[0]
    certify = published.bob.certify([enrol.hash], 0, published.bob.root, sealing=key.public)
    published.members.add([enrol, certify])
    published.members.add([published.author.add(sorted(published.members.heads), published.bob.id, Role.WRITER)])
    assert published.members.state.right(device.id) is Role.WRITER
    published.rotate()
    found = accept_packet(published.space, published.packets()[tag_of(published.space, key.public)], key)
    assert isinstance(found, Epoch) and found.append_seed is None


@given(addresses)
def test_an_address_is_read_back(address: Address) -> None:
    """An address written as text is the same again, also with line breaks a mail program put in."""
    text = address.text
    assert Address.read(text) == address
    assert Address.read("\n ".join(text[at : at + 20] for at in range(0, len(text), 20))) == address


@given(st.one_of(st.text(), st.text().map(lambda text: "chez-public:" + text), st.binary().map(
    lambda data: "chez-public:" + data.hex()), addresses.map(lambda one: one.text[:-3])))
def test_what_is_no_address_is_refused(text: str) -> None:
    """Any other text is answered with `InvalidValue`."""
    with pytest.raises(InvalidValue):
        Address.read(text)


def test_an_address_of_another_kind_of_space_is_refused() -> None:
    """The space's first statement must be of a public space, with the address's nonce."""
    create, shared = Published().members.create, Published(Kind.SHARED).members.create
    address = Address(bytes(32), bytes(32), "wss://x", NONCE, "news")
    address.check(create)
    for wrong, said in ((address, shared), (address, None), (Address(bytes(32), bytes(32), "wss://x", bytes(32), "n"),
                                                             create)):
        with pytest.raises(InvalidValue):
            wrong.check(said)


def test_golden_vectors_hold() -> None:
    """The same nonce and seed give the same keys, tag and address as ever, and the address reads back."""
    assert vectors() == GOLDEN
    address = Address.read(GOLDEN["address"]["text"])
    address.check(Signed.read(bytes.fromhex(GOLDEN["reader"]["create"])).body)  # type: ignore[arg-type]
    assert address.key.public.hex() == GOLDEN["reader"]["public"]
    pinned = Address.read(GOLDEN["pinned_address"]["text"])
    assert pinned == replace(address, pins=(GOLDEN["pinned_address"]["first"], GOLDEN["pinned_address"]["second"]))
    assert EPOCH.control.public.hex() != GOLDEN["control"]["public"]
    assert crypto.derive(address.nonce, "chez/1 public reader") == address.key.seed
