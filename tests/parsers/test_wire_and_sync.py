"""Frames, envelopes, entries, statements and vectors: anything is taken or refused with a typed error."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from chez import crypto
from chez.agent import protocol
from chez.errors import BadEntry
from chez.spaces.statements import Signed
from chez.sync import entry
from chez.sync.checkpoints import format, taking
from chez.sync.vector import decode_vector
from chez_wire import frames
from chez_wire.envelope import Header
from chez_wire.errors import EnvelopeError, FrameError
from tests.checkpoints.bundles import bundle_of, filled
from tests.parsers.mutations import MESSAGEPACK, attempt, beginnings, bytes_like
from tests.tries import tries
from tests.vectors.fixed import EPOCH, HANDLE, PERSON
from tests.vectors.fixed import filled as filled_
from tests.vectors.golden import golden
from tests.vectors.make_entries import stored
from tests.vectors.make_frames import FRAMES

NONCE = filled_(9, 24)


@dataclass(frozen=True)
class Parser:
    """A reader of bytes, how it may refuse them, and some that it takes."""

    name: str
    parse: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    seeds: list[bytes] = field(repr=False)


def _unseal(envelope: bytes) -> bytes:
    return entry.unseal(envelope, HANDLE, {EPOCH.id: EPOCH})


def _member_seals(packed: bytes) -> object:
    """What a member may do: seal any bytes at all."""
    return entry.read_signed(_unseal(entry.seal(packed, HANDLE, EPOCH, NONCE)))


def _member_pads(plain: bytes) -> object:
    """What a member may do: encrypt bytes that are not even padded."""
    header = Header(HANDLE, EPOCH.id, EPOCH.key_id, NONCE).encode()
    return _unseal(header + crypto.encrypt(EPOCH.entry_key, NONCE, plain, header))


def _member_packs(signed: bytes) -> object:
    return entry.read_signed(zstandard.compress(signed, 1))


def _issuer_signs(body: bytes) -> Signed:
    """What a person may do: sign a body of any bytes."""
    return Signed.read(msgspec.msgpack.encode([body, PERSON.root.sign("chez/1 statement", body)]))


def _member_packs_a_part(packed: bytes) -> object:
    """What a member may do: seal any part of a checkpoint. What it says is gone through as a reader does."""
    sealed = format.seal_packed(zstandard.compress(packed, 1), PERSON.root.public, EPOCH, iter([NONCE] * 40))
    part = format.open_part([one.data for one in sealed], PERSON.root.public, {EPOCH.id: EPOCH})
    frames_ = [frame for run in part.runs for frame in format.frames_of(run)]
    return frames_, [taking.placed(record, part.authors) for record in part.records]


ENTRIES = list(golden("entries")["entries"].values())
STATEMENTS = list(golden("statements").values())
SIGNED = [bytes.fromhex(vector["signed"]) for vector in ENTRIES]
PACKED = [stored(signed) for signed in SIGNED] + [zstandard.compress(signed, 3) for signed in SIGNED]
ENVELOPES = [bytes.fromhex(vector["envelope"]) for vector in ENTRIES]
ENCODED = [frames.encode(frame) for frame in FRAMES]
MESSAGES = [protocol.encode(message)[5:] for message in (
    protocol.Request("put", {"id": "tea", "value": {"n": 1, "l": [1.5, None]}}), protocol.Answer("yes"),
    protocol.Progress(1, 2, "x"), protocol.Ask("sure?", None), protocol.Result([{"a": b"b"}]))]

MANIFEST, PARTS = bundle_of(filled()[1])
VOUCH = format.Vouch(1, filled_(1), filled_(2), filled_(3), filled_(8), [frames.Dropped(1, 4, filled_(4)),
    frames.Dropped(7, 7, filled_(5))], [filled_(6)], filled_(7), filled_(8, 64))

PARSERS = [
    Parser("client frame", frames.decode_client, (FrameError,), [data for data in ENCODED if data[1] < 32]),
    Parser("relay frame", frames.decode_relay, (FrameError,), [data for data in ENCODED if data[1] > 32]),
    Parser("envelope header", Header.decode, (EnvelopeError,), ENVELOPES),
    Parser("envelope", _unseal, (EnvelopeError, BadEntry), ENVELOPES),
    Parser("plaintext", _member_pads, (BadEntry,), [entry.pad(packed) for packed in PACKED]),
    Parser("padding", entry.unpad, (BadEntry,), [entry.pad(b"x" * 20), entry.pad(b"")]),
    Parser("packed entry", _member_seals, (BadEntry,), PACKED),
    Parser("signed entry", _member_packs, (BadEntry,), SIGNED),
    Parser("statement", Signed.read, (BadEntry,), [bytes.fromhex(vector["raw"]) for vector in STATEMENTS]),
    Parser("statement body", _issuer_signs, (BadEntry,), [bytes.fromhex(vector["body"]) for vector in STATEMENTS]),
    Parser("manifest", format.read_manifest, (BadEntry,), [msgspec.msgpack.encode(MANIFEST)]),
    Parser("announcement", format.read_announcement, (BadEntry,), [msgspec.msgpack.encode(
        format.Announcement(1, filled_(1), [(filled_(2), 3, filled_(4))], [[filled_(5), filled_(6)]]))]),
    Parser("vouch", format.read_vouch, (BadEntry,), [msgspec.msgpack.encode(VOUCH)]),
    Parser("part of a checkpoint", _member_packs_a_part, (BadEntry,), [msgspec.msgpack.encode(one) for one in PARTS]),
    Parser("vector", decode_vector, (BadEntry,), [bytes.fromhex(golden("entries")["vector"]["bytes"])]),
    Parser("owner's client", protocol.decode_client, (protocol.ProtocolError,), MESSAGES[:2]),
    Parser("owner", protocol.decode_owner, (protocol.ProtocolError,), MESSAGES[2:]),
]
EACH = pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name.replace(" ", "-"))


@EACH
def test_the_seeds_are_what_the_parser_reads(parser: Parser) -> None:
    """What is mutated below is understood as it stands, so that mutations reach deep."""
    signed_by_root = [seed for seed in parser.seeds if parser.name != "statement body" or seed[1] < 3]
    assert all(attempt(parser.parse, seed) for seed in signed_by_root)


@EACH
@given(data=st.data())
@settings(max_examples=tries(60), deadline=None)
def test_anything_is_taken_or_refused(parser: Parser, data: st.DataObject) -> None:
    """Arbitrary bytes and mutated good ones raise nothing but the parser's own errors."""
    attempt(parser.parse, data.draw(bytes_like(parser.seeds, MESSAGEPACK)), *parser.refusals)


@EACH
def test_a_wrong_value_in_every_place_is_refused(parser: Parser) -> None:
    """Every kind of value in place of each of the first bytes is taken or refused, and bombs end soon."""
    for data in beginnings(parser.seeds[0], MESSAGEPACK):
        attempt(parser.parse, data, *parser.refusals)


@pytest.mark.parametrize("data", [
    b"", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\x60\x00\x00", b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd",
    b"\x28\xb5\x2f\xfd\xa0\xff\xff\xff\xff", b"\x28\xb5\x2f\xfd\xc0\xf8" + b"\xff" * 8,
    zstandard.compress(bytes(8 * 2**20 + 1)), zstandard.ZstdCompressor(write_content_size=False).compress(SIGNED[0]),
    zstandard.compress(SIGNED[0]) * 2, zstandard.compress(SIGNED[0]) + b"x",
], ids=["empty", "magic", "header", "skippable", "4 GiB", "2^64", "8 MiB and 1", "no size", "twice", "more"])
def test_frames_of_zstd_that_are_no_entry(data: bytes) -> None:
    """Frames that claim too much, say no size, or have company are refused before they are unpacked."""
    assert not attempt(entry.read_signed, data, BadEntry)
