"""A rotation keeps the bytes it always had."""

import msgspec

from chez import crypto
from chez.keys.epochs import Epoch
from chez.spaces.membership import Membership
from chez.spaces.rotation import Farewell, accept_packet, packets_for, unlock
from chez.spaces.statements import NewEpoch, Signed
from tests.vectors.fixed import CREATE, EPOCH, FIRST_STATEMENTS, LAPTOP, PHONE
from tests.vectors.golden import golden
from tests.vectors.make_rotation import NEXT, vectors

GOLDEN = golden("rotation")


def test_golden_vectors_hold() -> None:
    """The same randomness gives the same epoch, links, tags and packets as ever."""
    assert vectors() == GOLDEN


def test_the_pinned_link_opens_to_the_epoch_before() -> None:
    """With the new secret alone the link in the pinned statement gives the secret before it, by its key and data."""
    vector = GOLDEN["epoch"]
    signed = Signed.read(bytes.fromhex(vector["statement"]))
    assert isinstance(signed.body, NewEpoch)
    (link,) = signed.body.previous
    key = crypto.derive(bytes.fromhex(vector["secret"]), "chez/1 epoch link")
    assert (key.hex(), link.sealed[:24].hex()) == (vector["link_key"], vector["nonce"])
    opened = crypto.decrypt(key, link.sealed[:24], link.sealed[24:], bytes.fromhex(vector["link_data"]))
    assert opened.hex() == vector["previous_secret"]
    membership = Membership(CREATE.hash)
    membership.add([*FIRST_STATEMENTS, signed])
    (before,) = unlock(membership, {NEXT[1].id: NEXT[1]})
    assert (before.id, before.secret) == (EPOCH.id, EPOCH.secret)


def test_the_pinned_packets_are_what_is_sealed() -> None:
    """What opens from packets made now is the pinned content, and the pinned content sealed is taken in."""
    membership = Membership(CREATE.hash)
    membership.add([*FIRST_STATEMENTS, Signed.read(bytes.fromhex(GOLDEN["epoch"]["statement"]))])
    made = packets_for(CREATE.hash, membership.state, NEXT[1], LAPTOP.signing, crypto.random_bytes)
    sealed = [packet.box for packet in made]
    opened = []
    for box in sealed:
        try:
            opened.append(LAPTOP.sealing.open(box))
        except crypto.CryptoFailed:
            continue
    assert [plain.hex() for plain in opened] == [GOLDEN["keys"]["plain"]]
    keys = bytes.fromhex(GOLDEN["keys"]["plain"])
    epoch = accept_packet(CREATE.hash, crypto.seal_to(PHONE.sealing.public, keys), PHONE.sealing)
    assert isinstance(epoch, Epoch) and epoch == NEXT[1]
    farewell = bytes.fromhex(GOLDEN["farewell"]["plain"])
    told = accept_packet(CREATE.hash, crypto.seal_to(PHONE.sealing.public, farewell), PHONE.sealing)
    assert isinstance(told, Farewell) and told.proves(membership.state, PHONE.id, PHONE.sealing.public)
    assert len(keys) == len(farewell) == 208 and msgspec.msgpack.decode(farewell[1 : 1 + farewell[0]])[0] == 2
