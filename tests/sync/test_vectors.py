"""Entries, envelopes, vectors and pairing keep the bytes they always had."""

import msgspec
import pytest
import zstandard

from chez import crypto
from chez.errors import BadEntry, BadPairing
from chez.keys.epochs import Epoch
from chez.records import automerge
from chez.sync import entry
from chez.sync.codes import mailbox, new_code
from chez.sync.vector import decode_vector, encode_vector
from chez_wire.envelope import Header
from chez_wire.errors import EnvelopeError
from chez_wire.limits import MIN_ENVELOPE
from tests.vectors import make_entries, make_pairing
from tests.vectors.golden import golden, survivors
from tests.vectors.make_entries import INNERS, stored

GOLDEN = golden("entries")
PAIRING = golden("pairing")
NAMES = sorted(GOLDEN["entries"])
HANDLE, SECRET, NONCE, EPOCH_ID = (bytes.fromhex(GOLDEN["epoch"][name]) for name in ("handle", "secret", "nonce", "id"))
EPOCHS = {EPOCH_ID: Epoch(EPOCH_ID, 1, SECRET, None)}


def test_golden_vectors_hold() -> None:
    """Entries, padding and vectors encode to the bytes they always had; so does a whole pairing."""
    assert make_entries.vectors() == GOLDEN
    assert make_pairing.vectors() == PAIRING


@pytest.mark.parametrize("name", NAMES)
def test_signing_gives_the_pinned_bytes(name: str) -> None:
    """The code's own signing of the fixed content gives the pinned hash and signed bytes."""
    vector = GOLDEN["entries"][name]
    signed = entry.sign_entry(INNERS[name], crypto.SigningKey.from_seed(bytes.fromhex(vector["key"])))
    assert signed.hash.hex() == vector["hash"]
    assert zstandard.decompress(signed.packed).hex() == vector["signed"]


@pytest.mark.parametrize("name", NAMES)
def test_the_pinned_envelope_opens(name: str) -> None:
    """Each envelope opens to its entry, with changes that Automerge accepts."""
    vector = GOLDEN["entries"][name]
    envelope = bytes.fromhex(vector["envelope"])
    assert Header.decode(envelope) == Header(HANDLE, EPOCH_ID, EPOCHS[EPOCH_ID].key_id, NONCE)
    signed = entry.read_signed(entry.unseal(envelope, HANDLE, EPOCHS))
    assert (signed.inner, signed.hash.hex()) == (INNERS[name], vector["hash"])
    assert len(signed.changes) == sum(item.kind == entry.CHANGE for item in signed.inner.items)
    base = b""
    for change in signed.changes:
        base = change.bytes if not change.dependencies else base + change.bytes
        assert automerge.extract(automerge.load(base, b"x" * 32))


def test_the_second_entry_follows_the_first() -> None:
    """The chain is in the vectors: number 2 names the hash of number 1."""
    first, second = (GOLDEN["entries"][name] for name in ("statements", "changes"))
    assert (first["sequence"], second["sequence"]) == (1, 2)
    assert first["previous"] == entry.GENESIS.hex() and second["previous"] == first["hash"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_sealed_now_opens_to_the_same(name: str) -> None:
    """Signing and sealing with today's zstd, or its hardest setting, opens to the pinned entry."""
    vector = GOLDEN["entries"][name]
    for level in (1, 19):
        packed = zstandard.compress(bytes.fromhex(vector["signed"]), level)
        opened = entry.unseal(entry.seal(packed, HANDLE, EPOCHS[EPOCH_ID], NONCE), HANDLE, EPOCHS)
        assert entry.read_signed(opened).hash.hex() == vector["hash"]


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_envelope_is_refused(name: str) -> None:
    """A flipped bit in header, ciphertext or tag, a cut and an addition never open."""
    envelope = bytes.fromhex(GOLDEN["entries"][name]["envelope"])

    def unseal(data: bytes) -> bytes:
        return entry.unseal(data, HANDLE, EPOCHS)

    assert survivors(unseal, envelope, BadEntry, EnvelopeError) == []
    for changed in (envelope[:-1], envelope + b"\0"):
        with pytest.raises(BadEntry):
            unseal(changed)
    with pytest.raises(BadEntry, match="another space"):
        entry.unseal(envelope, bytes(32), EPOCHS)
    with pytest.raises(BadEntry, match="not on this device"):
        entry.unseal(envelope, HANDLE, {})
    with pytest.raises(BadEntry, match="another key"):
        entry.unseal(envelope, HANDLE, {EPOCH_ID: Epoch(EPOCH_ID, 1, bytes(32), None)})


@pytest.mark.parametrize("name", NAMES)
def test_changed_signed_bytes_are_refused(name: str) -> None:
    """A flipped bit of what is signed, or of the signature, is a bad entry."""
    signed = bytes.fromhex(GOLDEN["entries"][name]["signed"])
    assert survivors(lambda data: entry.read_signed(stored(data)), signed, BadEntry) == []


def test_padding_is_padme_above_a_floor() -> None:
    """The pinned sizes: 1 KiB at least, then at most 12% more than the content."""
    for size, padded in GOLDEN["padded_size"].items():
        assert entry.padded_size(int(size)) == padded
        assert padded == MIN_ENVELOPE or int(size) <= padded <= int(size) * 1.12
        if int(size) >= 4:
            data = bytes(int(size) - 4)
            assert len(entry.pad(data)) == padded and entry.unpad(entry.pad(data)) == data


def test_padding_that_is_wrong_is_refused() -> None:
    """Zeros that are none, too few or too many of them: what a relay sees of the size is what everybody makes of it."""
    plain, epoch = entry.pad(b"x" * 20), EPOCHS[EPOCH_ID]
    header = Header(HANDLE, EPOCH_ID, epoch.key_id, NONCE).encode()
    for changed in (plain[:-1] + b"x", plain[:-1], plain + b"\0", entry.pad(b"x" * 2000)[:-1],
                    (1021).to_bytes(4, "big") + plain[4:]):
        envelope = header + crypto.encrypt(epoch.entry_key, NONCE, changed, header)
        with pytest.raises(BadEntry, match="padding"):
            entry.unseal(envelope, HANDLE, EPOCHS)


def test_a_vector_reads_back() -> None:
    """The pinned bytes read as the pinned authors; a flipped bit is refused or another vector."""
    data = bytes.fromhex(GOLDEN["vector"]["bytes"])
    authors = {author.hex(): [sequence, hash.hex()] for author, (sequence, hash) in decode_vector(data).items()}
    assert authors == GOLDEN["vector"]["authors"]
    for other in survivors(decode_vector, data, BadEntry):
        assert decode_vector(other) != decode_vector(data) and encode_vector(decode_vector(other)) == other


def test_a_pairing_code_finds_its_inboxes() -> None:
    """The pinned code comes from its entropy and leads to the pinned inboxes."""
    assert new_code(bytes.fromhex(PAIRING["code"]["entropy"])) == PAIRING["code"]["code"]
    for name, to_new in (("to_new", True), ("to_old", False)):
        key, box = mailbox(PAIRING["code"]["code"], to_new)
        assert (key.seed.hex(), box.hex()) == (PAIRING["inboxes"][f"{name}_seed"], PAIRING["inboxes"][name])


def test_the_pinned_pairing_is_understood() -> None:
    """Each side takes the other's pinned message for what it is; a no is heard as one."""
    hello, reply, welcome, refused = (bytes.fromhex(PAIRING["messages"][name])
                                      for name in ("hello", "reply", "welcome", "refused"))
    old, new = make_pairing.old_device(), make_pairing.new_device()
    assert old.hello == hello and new.answer(hello) == reply
    assert old.receive(reply).name == "phone"
    assert new.welcome(welcome) == make_pairing.BUNDLE
    with pytest.raises(BadPairing, match="said no"):
        new.welcome(refused)


def test_a_changed_pairing_message_is_refused() -> None:
    """A flipped bit of the welcome, or of the reply's confirmation and box, proves nothing."""
    messages = PAIRING["messages"]
    new = make_pairing.new_device()
    new.answer(bytes.fromhex(messages["hello"]))
    assert survivors(new.welcome, bytes.fromhex(messages["welcome"]), BadPairing) == []
    number, share, confirmation, box = msgspec.msgpack.decode(bytes.fromhex(messages["reply"]))
    wrong = [(share, bytes(32), box), (share, confirmation, box[:-1] + b"\0"),
             (share[:-1] + bytes((share[-1] ^ 1,)), confirmation, box)]
    for fields in wrong:
        with pytest.raises(BadPairing):
            make_pairing.old_device().receive(msgspec.msgpack.encode([number, *fields]))
