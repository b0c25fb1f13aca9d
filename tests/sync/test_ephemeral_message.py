"""A sealed ephemeral message: its bytes, and everything that makes it another one."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez import crypto
from chez.errors import BadEntry, InvalidValue
from chez.keys.epochs import Epoch
from chez.sync.entry import UnknownEpoch, pad, seal
from chez.sync.ephemeral.message import (
    MAX_NAMED,
    MAX_TOPIC,
    MAX_VALUE,
    Message,
    decode_value,
    encode_value,
    open_message,
    seal_message,
)
from chez_wire.envelope import HEADER_BYTES, Header
from chez_wire.ephemeral import MAGIC
from chez_wire.limits import MAX_EPHEMERAL
from tests.parsers.mutations import MESSAGEPACK, attempt, bytes_like
from tests.tries import tries
from tests.vectors import make_ephemeral
from tests.vectors.fixed import CREATE, EPOCH, HANDLE, LAPTOP, PHONE, filled
from tests.vectors.golden import golden, survivors
from tests.vectors.make_ephemeral import NONCE, said

GOLDEN = golden("ephemeral")
SEALED = bytes.fromhex(GOLDEN["sealed"])
MESSAGE = Message(*said())
SPACE, EPOCHS = CREATE.hash, {EPOCH.id: EPOCH}


def opened(sealed: bytes) -> Message:
    """As a member's device opens it."""
    return open_message(sealed, SPACE, HANDLE, EPOCHS)


def test_golden_vectors_hold() -> None:
    """A fixed message is signed and sealed to the pinned bytes, and read back from them."""
    assert make_ephemeral.vectors() == GOLDEN
    assert seal_message(MESSAGE, HANDLE, EPOCH, LAPTOP.signing, NONCE) == SEALED
    assert opened(SEALED) == MESSAGE and "cursor" not in repr(MESSAGE)


def test_every_flipped_bit_is_noticed() -> None:
    """No byte of a sealed message can be changed, of its header neither."""
    assert survivors(opened, SEALED, BadEntry) == []


def test_it_is_bound_to_space_epoch_kind_and_author() -> None:
    """Under another space, handle, epoch or kind, or said in another's name, it does not open."""
    for sealed, space, handle in ((SEALED, filled(9), HANDLE), (SEALED, SPACE, filled(9))):
        with pytest.raises(BadEntry):
            open_message(sealed, space, handle, EPOCHS)
    with pytest.raises(UnknownEpoch):
        open_message(SEALED, SPACE, HANDLE, {})
    later = Epoch(filled(8), 2, filled(7), None)
    plain = crypto.decrypt(EPOCH.ephemeral_key, NONCE, SEALED[HEADER_BYTES:], SEALED[:HEADER_BYTES])
    header = Header(HANDLE, later.id, later.key_id, NONCE).encode(MAGIC)
    again = header + crypto.encrypt(later.ephemeral_key, NONCE, plain, header)
    with pytest.raises(BadEntry, match="signed"):  # a member seals another's words anew
        open_message(again, SPACE, HANDLE, {later.id: later})
    with pytest.raises(BadEntry, match="signed"):
        opened(seal_message(MESSAGE, HANDLE, EPOCH, PHONE.signing, NONCE))
    elsewhere = msgspec.structs.replace(MESSAGE, space=filled(6))
    with pytest.raises(BadEntry):
        opened(seal_message(elsewhere, HANDLE, EPOCH, LAPTOP.signing, NONCE))
    entry = seal(b"x" * 300, HANDLE, EPOCH, NONCE)
    for wrong in (entry, MAGIC + entry[3:]):
        with pytest.raises(BadEntry):
            opened(wrong)


@given(bytes_like([SEALED]))
def test_any_bytes_open_or_raise(data: bytes) -> None:
    """Whatever a relay sends is one message, or refused by a typed error."""
    assert not attempt(opened, data, BadEntry) or data == SEALED


@settings(max_examples=tries(300))
@given(bytes_like([bytes.fromhex(GOLDEN["message"])], MESSAGEPACK))
def test_any_content_of_a_member_opens_or_raises(body: bytes) -> None:
    """Whatever a member signs and seals is a message, or refused by a typed error."""
    signature = LAPTOP.signing.sign("chez/1 ephemeral", SPACE, EPOCH.id, body)
    header = Header(HANDLE, EPOCH.id, EPOCH.key_id, NONCE).encode(MAGIC)
    for plain in (pad(msgspec.msgpack.encode([body, signature])), pad(body), body):
        sealed = header + crypto.encrypt(EPOCH.ephemeral_key, NONCE, plain, header)
        if attempt(opened, sealed, BadEntry):
            attempt(decode_value, opened(sealed).value, BadEntry)


def test_the_largest_fits_and_small_ones_look_alike() -> None:
    """The most that a message may say is passed on by a relay; what is said usually has one size, whatever it says."""
    most = Message(1, SPACE, LAPTOP.id, filled(1, 16), 2**62, filled(2, 16), [filled(3, 16)] * MAX_NAMED,
                   [filled(4, 16)] * MAX_NAMED, "\U0001f600" * MAX_TOPIC, bytes(MAX_VALUE))
    assert len(seal_message(most, HANDLE, EPOCH, LAPTOP.signing, NONCE)) <= MAX_EPHEMERAL
    asks = (([filled(3, 16)] * MAX_NAMED, []), ([], [filled(4, 16)] * MAX_NAMED))
    sizes = {len(seal_message(msgspec.structs.replace(MESSAGE, topic="", value=b"", wanted=wanted, heard=heard), HANDLE,
                              EPOCH, LAPTOP.signing, NONCE)) for wanted, heard in asks}
    sizes |= {len(seal_message(msgspec.structs.replace(MESSAGE, topic=topic, value=value, wanted=[], heard=[]), HANDLE,
                              EPOCH, LAPTOP.signing, NONCE))
             for topic, value in (("", b""), ("cursor", b"1"), ("presence", b"x" * 400))}
    assert sizes == {HEADER_BYTES + 1024 + 16}


JSON = st.recursive(st.none() | st.booleans() | st.integers(-2**63, 2**63 - 1) | st.floats(allow_nan=False,
                    allow_infinity=False) | st.text(), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
                        st.text(), inner, max_size=4), max_leaves=20)


@given(JSON)
def test_every_json_value_comes_back_alike(value: object) -> None:
    """What can be said is heard as it was said."""
    try:
        data = encode_value(value)
    except InvalidValue:  # too large, or half a character
        return
    assert decode_value(data) == value


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 5000, b"\xff", b'"\\ud800"', b"1 2"])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    """A member may sign any bytes as a value: they are refused by a typed error, deep ones too."""
    with pytest.raises(BadEntry):
        decode_value(data)
