"""The wire formats: golden vectors, round trips, and bytes that are none of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chez_wire import frames
from chez_wire.envelope import HEADER_BYTES, TAG_BYTES, Header, entry_id
from chez_wire.errors import EnvelopeError, FrameError
from chez_wire.limits import MAX_ENVELOPE, MAX_FRAME, MAX_INBOX_ITEM, MAX_PAGE
from chez_wire.login import Role
from tests.vectors.golden import golden
from tests.vectors.make_frames import FRAMES, SHORTER, vectors

VECTORS = golden("frames")
CLIENT = {kind.__name__ for kind in frames.ClientFrame.__args__}
RELAY = {kind.__name__ for kind in frames.RelayFrame.__args__}


def decode(data: bytes) -> frames.ClientFrame | frames.RelayFrame:
    """Decode on the side that receives such a frame."""
    return frames.decode_client(data) if data[1] < 32 else frames.decode_relay(data)


def test_golden_vectors_hold() -> None:
    """Frames and signed messages encode to the bytes they always had."""
    assert VECTORS == vectors()


def test_every_frame_has_a_vector() -> None:
    """No frame of the protocol is missing from the vectors."""
    assert {type(frame).__name__ for frame in FRAMES} == CLIENT | RELAY


def test_every_frame_of_the_vectors_is_in_the_file() -> None:
    """None stands in another's place: the file's bytes decode to all of them, in order."""
    assert [decode(bytes.fromhex(data)) for data in VECTORS["frames"].values()] == list(FRAMES)


@pytest.mark.parametrize("name", SHORTER)
def test_a_last_field_may_be_left_out(name: str) -> None:
    """It has its default then."""
    assert decode(bytes.fromhex(VECTORS["shorter"][name])) == SHORTER[name][1]


@pytest.mark.parametrize(("reader", "name"), [
    *(("relay", name) for name in VECTORS["refused by a relay"]),
    *(("device", name) for name in VECTORS["refused by a device"]),
])
def test_what_the_vectors_say_is_refused(reader: str, name: str) -> None:
    """Bytes that are no frame, each for one reason."""
    decoder = frames.decode_client if reader == "relay" else frames.decode_relay
    with pytest.raises(FrameError):
        decoder(bytes.fromhex(VECTORS[f"refused by a {reader}"][name]))


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: type(frame).__name__)
def test_frames_survive_the_wire(frame: frames.ClientFrame | frames.RelayFrame) -> None:
    """Decoding what was encoded gives the same frame; the other side's decoder refuses it."""
    data = frames.encode(frame)
    assert decode(data) == frame
    wrong = frames.decode_relay if type(frame).__name__ in CLIENT else frames.decode_client
    with pytest.raises(FrameError):
        wrong(data)


@given(st.sampled_from(FRAMES), st.data())
def test_a_truncated_or_altered_frame_is_refused_or_another_frame(
    frame: frames.ClientFrame | frames.RelayFrame, data: st.DataObject
) -> None:
    """Cut anywhere it is refused; with a byte changed it is refused or decodes to a whole frame."""
    encoded = frames.encode(frame)
    with pytest.raises(FrameError):
        decode(encoded[: data.draw(st.integers(2, len(encoded) - 1))])
    with pytest.raises(FrameError):
        decode(encoded + b"\x00")
    place = data.draw(st.integers(2, len(encoded) - 1))
    changed = encoded[:place] + bytes((data.draw(st.integers(0, 255)),)) + encoded[place + 1:]
    try:
        assert frames.encode(decode(changed))
    except FrameError:
        pass


@given(st.binary(max_size=400))
def test_arbitrary_bytes_raise_frame_error_only(data: bytes) -> None:
    """Nothing but FrameError ever leaves the decoders."""
    for decoder in (frames.decode_client, frames.decode_relay):
        try:
            decoder(data)
        except FrameError:
            pass


@pytest.mark.parametrize("data", [
    bytes(MAX_FRAME + 1), b"\x91" * 500_000, b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    frames.encode(frames.InboxItems(1, bytes(32), [frames.InboxItem(1, bytes(MAX_INBOX_ITEM))] * 16)),
], ids=["giant", "nested", "array of 2^32", "bytes of 2^32", "map of 2^32", "more than a page"])
def test_bombs_are_refused(data: bytes) -> None:
    """Giant, deeply nested and falsely long messages are refused without being unpacked."""
    for decoder in (frames.decode_client, frames.decode_relay):
        with pytest.raises(FrameError):
            decoder(data)


@pytest.mark.parametrize(("data", "words"), [
    (b"\x93\x18\x01\x02", "this relay knows no frame 24"), (b"\x91\x1f", "this relay knows no frame 31"),
    (b"\x92\xcc\xc8\xc4", "this relay knows no frame 200"), (b"\xdc\x00\x01\x00", "this relay knows no frame 0"),
    (b"\xdd\x00\x00\x00\x01\xcd\x01\x00", "this relay knows no frame 256"),
    (b"\x91\xce\x00\x01\x00\x00", "this relay knows no frame 65536"),
    (b"\x91\xcf" + b"\xff" * 8, "this relay knows no frame 18446744073709551615"),
    (b"\x91\xff", "this relay knows no frame -1"), (b"\x92\x22\x01", "this relay knows no frame 34"),
    (b"", "text, or empty"), (b"\x91\x17", "no frame a client may send"), (b"\x90", "no frame a client may send"),
    (b"\x91", "no frame a client may send"), (b"\x91\xcd\x01", "no frame a client may send"),
    (b"\xdd\x00", "no frame a client may send"), (b"\x91\xa1x", "no frame a client may send"),
    (b"hello", "no frame a client may send"), (b"\x91" * 100_000, "no frame a client may send"),
], ids=lambda one: repr(one)[:40])
def test_a_refusal_names_the_frame_that_is_unknown(data: bytes, words: str) -> None:
    """Whoever speaks a later version, or sends text, is told what was not understood."""
    with pytest.raises(FrameError, match=words):
        frames.decode_client(data)


def test_a_device_names_the_frame_that_it_does_not_know() -> None:
    """Likewise, of a relay's."""
    with pytest.raises(FrameError, match="this device knows no frame 50"):
        frames.decode_relay(b"\x92\x32\x01")


def test_the_largest_frames_fit() -> None:
    """The largest envelope, alone or in a page of the largest size, fits a frame."""
    ref, name = 2**32 - 1, bytes(32)
    append = frames.encode(frames.Append(ref, name, Role.CONTROL, bytes(MAX_ENVELOPE)))
    alone = frames.encode(frames.Entries(ref, name, [frames.Entry(2**62, bytes(MAX_ENVELOPE))], name, 2**62))
    small = HEADER_BYTES + 16
    many = [frames.Entry(2**62, bytes(small))] * (MAX_PAGE // small)
    page = frames.encode(frames.Entries(ref, name, many, name, 2**62))
    assert max(len(append), len(alone), len(page)) <= MAX_FRAME


@given(st.binary(max_size=300))
def test_envelopes_decode_or_raise(data: bytes) -> None:
    """Arbitrary bytes are no envelope, or one with a whole header, which encodes to the same bytes, and a tag."""
    for candidate in (data, b"CZE\x01" + data):
        try:
            header = Header.decode(candidate)
        except EnvelopeError:
            continue
        assert header.encode() == candidate[:HEADER_BYTES] and len(candidate) >= HEADER_BYTES + TAG_BYTES
        assert entry_id(candidate) != entry_id(candidate + b"\x00")
