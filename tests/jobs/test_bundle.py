"""A bundle is exactly what its provider signed."""

import json
from pathlib import Path

import msgspec
import pytest

from chez.crypto import SigningKey
from chez_sandbox.bundle import MAX_BUNDLE, MAX_SOURCE, build_bundle, open_bundle
from chez_sandbox.job_errors import (
    BundleForged,
    BundleInvalid,
    BundleMalformed,
    BundleTooLarge,
    BundleUnsigned,
    ManifestInvalid,
)
from tests.jobs.samples import MEAN, SIGNING, manifest_text

VECTOR = Path(__file__).parents[1] / "vectors" / "bundle.json"


def parts(encoded: bytes) -> list[object]:
    """The fields of a bundle file."""
    fields: list[object] = msgspec.msgpack.decode(encoded)
    return fields


def test_a_bundle_opens_to_what_was_signed() -> None:
    """Building and opening give the same manifest, code and hash."""
    built = build_bundle(manifest_text(), MEAN, "python", SIGNING)
    assert open_bundle(built.encoded) == built
    assert built.code == MEAN and len(built.hash) == 32


def test_the_golden_bundle_keeps_its_bytes() -> None:
    """The format of version 1 does not change: same parts, same bytes, same hash."""
    vector = json.loads(VECTOR.read_text())
    key = SigningKey.from_seed(bytes.fromhex(vector["seed"]))
    built = build_bundle(vector["manifest"].encode(), vector["code"].encode(), vector["kind"], key)
    assert built.encoded.hex() == vector["bundle"]
    assert built.hash.hex() == vector["hash"]
    assert open_bundle(bytes.fromhex(vector["bundle"])) == built


def test_every_flipped_byte_is_noticed() -> None:
    """There is no byte of a bundle whose change goes unseen."""
    encoded = build_bundle(manifest_text(), MEAN, "python", SIGNING).encoded
    for place in range(len(encoded)):
        changed = bytearray(encoded)
        changed[place] ^= 1
        with pytest.raises((BundleInvalid, ManifestInvalid)):
            open_bundle(bytes(changed))


def test_a_stripped_signature_is_named() -> None:
    """A bundle without a signature is unsigned, not merely broken."""
    fields = parts(build_bundle(manifest_text(), MEAN, "python", SIGNING).encoded)
    with pytest.raises(BundleUnsigned):
        open_bundle(msgspec.msgpack.encode([*fields[:-1], b""]))


def test_another_keys_signature_is_forged() -> None:
    """A signature by a key other than the manifest's is refused, at both ends."""
    other = SigningKey.from_seed(bytes(32))
    with pytest.raises(ManifestInvalid):
        build_bundle(manifest_text(), MEAN, "python", other)
    fields = parts(build_bundle(manifest_text(signing=other), MEAN, "python", other).encoded)
    with pytest.raises(BundleForged):
        open_bundle(msgspec.msgpack.encode([*fields[:3], manifest_text(), MEAN, fields[5]]))


def test_new_code_needs_a_new_signature() -> None:
    """Code, manifest and kind are each under the signature."""
    fields = parts(build_bundle(manifest_text(), MEAN, "python", SIGNING).encoded)
    for place, value in ((3, manifest_text(version=2)), (4, MEAN + b"#"), (2, "component")):
        changed = [*fields]
        changed[place] = value
        with pytest.raises(BundleForged):
            open_bundle(msgspec.msgpack.encode(changed))


def test_parameters_are_part_of_what_is_signed() -> None:
    """No parameter can be altered for one person: another value is another manifest, which nobody signed."""
    fields = parts(build_bundle(manifest_text(), MEAN, "python", SIGNING).encoded)
    altered = manifest_text().replace(b'note = "none"', b'note = "Alice"')
    with pytest.raises(BundleForged):
        open_bundle(msgspec.msgpack.encode([*fields[:3], altered, *fields[4:]]))


def test_bytes_to_spare_and_other_encodings_are_refused() -> None:
    """One bundle has one encoding: nothing after it, no longer form of any length."""
    encoded = build_bundle(manifest_text(), MEAN, "python", SIGNING).encoded
    # 0x96 is an array of six in its short form, 0xdc 0x0006 the same in a longer one.
    assert encoded[0] == 0x96
    for changed in (encoded + b"\0", b"\xdc\0\6" + encoded[1:], encoded[:-1], b"", b"\x96", b"PK\3\4"):
        with pytest.raises(BundleMalformed):
            open_bundle(changed)


def test_code_that_no_builder_signs_is_none() -> None:
    """Whoever signs without `chez-job` is held to the same: source is text and short, a component is WebAssembly."""
    text = manifest_text()
    for kind, code, wrong in (("python", b"\xff", BundleMalformed), ("python", b" " * (MAX_SOURCE + 1), BundleTooLarge),
                              ("component", b"\x7fELF", BundleMalformed)):  # fmt: skip
        signature = SIGNING.sign("chez/1 bundle", kind.encode(), text, code)
        with pytest.raises(wrong):
            open_bundle(msgspec.msgpack.encode(["chez-bundle", 1, kind, text, code, signature]))


def test_sizes_are_bounded() -> None:
    """A bundle over the limit is refused unread, source over its own limit unsigned."""
    with pytest.raises(BundleTooLarge):
        open_bundle(bytes(MAX_BUNDLE + 1))
    with pytest.raises(BundleTooLarge):
        build_bundle(manifest_text(), b"#" * 300_000, "python", SIGNING)
    with pytest.raises(BundleMalformed):
        build_bundle(manifest_text(), b"\xff", "python", SIGNING)
    with pytest.raises(BundleMalformed):
        build_bundle(manifest_text(), MEAN, "component", SIGNING)
