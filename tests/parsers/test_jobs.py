"""Manifests, bundles and results: whatever a provider, a device or a stranger sends is typed in its refusal."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.crypto import SigningKey, seal_to
from chez_sandbox.bundle import CONTEXT as BUNDLE_CONTEXT
from chez_sandbox.bundle import build_bundle, open_bundle
from chez_sandbox.job_errors import BundleInvalid, ManifestInvalid, MessageInvalid
from chez_sandbox.manifest import parse_manifest
from chez_sandbox.provider.keys import ProviderKeys
from chez_sandbox.provider.results import ResultBook
from chez_sandbox.release.padding import pad
from chez_sandbox.release.release import CONTEXT, Address, Release, build_message, open_message
from tests.jobs.samples import INBOX, INBOX_OWNER, INBOX_WRITER, MEAN, SEALING, SIGNING, manifest_text
from tests.parsers.mutations import MESSAGEPACK, attempt, beginnings, bytes_like
from tests.tries import tries

MANIFEST = manifest_text()
BUNDLE = build_bundle(MANIFEST, MEAN, "python", SIGNING)
PSEUDONYM = SigningKey.from_seed(bytes([9]) * 32)
RELEASE = Release(1, "result", PSEUDONYM.public, bytes(16), 1, "2026-11-24", bytes(32), bytes(32),
                  b'{"watts":310}')
MESSAGE = build_message(BUNDLE.manifest.schema, Address(SEALING.public, INBOX), PSEUDONYM, grant=bytes(16), sequence=1,
                        run_date=date(2026, 11, 24), bundle=bytes(32), consent=bytes(32), result=b'{"watts":310}')
KEYS = ProviderKeys(name="x", contact="y", domain="example.org", relay="wss://relay.example",
                    signing_seed=SIGNING.seed.hex(), sealing_seed=SEALING.seed.hex(),
                    inbox_owner_seed=INBOX_OWNER.seed.hex(), inbox_writer_seed=INBOX_WRITER.seed.hex())
NOW = datetime(2026, 11, 24, tzinfo=UTC)

TOML = (b'"', b"'", b"[", b"]", b"{", b"}", b"=", b".", b",", b"\n", b'"""', b"\\", b"\\ud800", b"\\u0000", b"\0",
        b"\xff", b"0x", b"0x1" + b"f" * 4000, b"9" * 5000, b"1e999", b"1e-999", b"nan", b"-inf", b"true", b"2020-01-01",
        b"2020-01-01T00:00:00+99:99", b"12:00:60", b"[[reads]]", b"[" * 3000, b"a." * 3000 + b"a = 1\n", b"[1, [2]]",
        b"{ a = 1 }", b'"array"', b'"object"', b'"number"', b'"null"', b"items = ", b"enum = ", b"required = ")
VALUES = [line.split(b" = ", 1)[1] for line in MANIFEST.splitlines() if b" = " in line]


@st.composite
def manifests(draw: st.DrawFn) -> bytes:
    """A manifest with a value exchanged for another, or mutated anyhow."""
    if draw(st.booleans()):
        return draw(bytes_like([MANIFEST], TOML))
    return MANIFEST.replace(draw(st.sampled_from(VALUES)), draw(st.sampled_from((*TOML, *VALUES))), 1)


def _read_manifest(text: bytes) -> None:
    manifest = parse_manifest(text)
    assert manifest.parameters_json and manifest.schema.max_bytes


@given(manifests())
@settings(max_examples=tries(300), deadline=None)
def test_any_manifest_is_read_or_names_what_is_wrong(text: bytes) -> None:
    """A manifest is whole (its parameters and schema usable) or refused."""
    attempt(_read_manifest, text, ManifestInvalid)


@pytest.mark.parametrize("value", TOML, ids=range(len(TOML)))
def test_a_wrong_value_in_every_place_of_a_manifest(value: bytes) -> None:
    """Every value of the manifest exchanged for each odd one is taken or refused."""
    for good in set(VALUES):
        attempt(_read_manifest, MANIFEST.replace(good, value, 1), ManifestInvalid)


@pytest.mark.parametrize("place", ["chez = 1", "version = 1", 'note = "none"', "bits = 1000", "maximum = 10000",
                                   'type = "integer"'])
def test_a_number_that_toml_does_not_have_is_refused(place: str) -> None:
    """Whole numbers beyond 64 bits, which Python may not even print, are refused where they stand."""
    name = place.split(" = ")[0]
    for number in (2**63, -(2**63) - 1, 16**5000):
        written = hex(number) if number > 0 else str(number)
        with pytest.raises(ManifestInvalid, match=name):
            parse_manifest(MANIFEST.replace(place.encode(), f"{name} = {written}".encode(), 1))
    text = MANIFEST.replace(b'type = "object"', b'type = "object"\nrequired = [0x1' + b"f" * 5000 + b"]")
    with pytest.raises(ManifestInvalid, match="64 bits"):
        parse_manifest(text)


@given(bytes_like([BUNDLE.encoded], MESSAGEPACK))
@settings(max_examples=tries(100), deadline=None)
def test_any_bundle_is_opened_or_refused(encoded: bytes) -> None:
    """A bundle is exactly what its provider signed, or a typed refusal."""
    if attempt(open_bundle, encoded, BundleInvalid, ManifestInvalid):
        assert open_bundle(encoded).encoded == encoded


@given(manifests(), bytes_like([MEAN]), st.sampled_from(["python", "component"]))
@settings(max_examples=tries(60), deadline=None)
def test_any_bundle_a_provider_signs_is_opened_or_refused(manifest: bytes, code: bytes, kind: str) -> None:
    """A signature makes nothing else good: not a manifest, not a kind, not an encoding of the source."""
    signature = SIGNING.sign(BUNDLE_CONTEXT, kind.encode(), manifest, code)
    encoded = msgspec.msgpack.encode(["chez-bundle", 1, kind, manifest, code, signature])
    attempt(open_bundle, encoded, BundleInvalid, ManifestInvalid)


def test_a_wrong_value_in_every_place_of_a_bundle() -> None:
    """Every kind of value in place of each of a bundle's first bytes is refused."""
    for encoded in beginnings(BUNDLE.encoded, MESSAGEPACK):
        assert encoded == BUNDLE.encoded or not attempt(open_bundle, encoded, BundleInvalid, ManifestInvalid)


def _seal(padded: bytes) -> bytes:
    """What anybody with the bundle may do: sign and seal any bytes for the inbox."""
    return seal_to(SEALING.public, PSEUDONYM.sign(CONTEXT, INBOX, padded) + padded)


def _open(message: bytes) -> Release:
    return open_message(message, SEALING, INBOX)


@given(bytes_like([MESSAGE], MESSAGEPACK))
@settings(max_examples=tries(100), deadline=None)
def test_any_item_of_an_inbox_is_a_release_or_refused(item: bytes) -> None:
    """Bytes that a relay hands out open to what was sealed, or not at all."""
    assert not attempt(_open, item, MessageInvalid) or item == MESSAGE


@given(bytes_like([msgspec.msgpack.encode(RELEASE)], MESSAGEPACK), st.integers(0, 300))
@settings(max_examples=tries(100), deadline=None)
def test_anything_sealed_to_a_provider_is_a_release_or_refused(content: bytes, more: int) -> None:
    """Whatever is sealed and signed for the inbox, padded rightly or not, is a release or refused."""
    assert attempt(_open, _seal(pad(msgspec.msgpack.encode(RELEASE), 512)))
    for padded in (pad(content, len(content) + 4 + more), content):
        attempt(_open, _seal(padded), MessageInvalid)


def test_short_plaintexts_are_refused() -> None:
    """A box with less inside than a signature and a length is no release."""
    for size in range(0, 72, 3):
        assert not attempt(_open, seal_to(SEALING.public, bytes(size)), MessageInvalid)


RESULTS = (b'{"watts":310}', b"1e999", b"-1e999", b"NaN", b"[" * 900 + b"]" * 900, b"[" * 5000 + b"]" * 5000,
           b'{"a":1,"a":2}', b'"\\ud800"', b"9" * 4000, b"9" * 5000, b"\xff", b" ", b'"\r\n"', b'"\xe2\x80\xa8"', b"{}")


@pytest.mark.parametrize("named", [bytes(32), BUNDLE.hash], ids=["unknown job", "known job"])
def test_every_result_is_kept_as_strict_json(named: bytes, tmp_path: Path) -> None:
    """Each item becomes one line that any reader of JSON takes, and that the book reads back."""
    path = tmp_path / "results.jsonl"
    items = [_seal(pad(msgspec.msgpack.encode(msgspec.structs.replace(RELEASE, result=result, bundle=named,
                                                                      sequence=number)), 12_288))
             for number, result in enumerate(RESULTS, start=1)]
    for _ in range(2):  # the second time they are known, or invalid again
        with ResultBook(path, KEYS, [BUNDLE] if named == BUNDLE.hash else []) as book:
            for item in items:
                book.keep(item, NOW)

    def refuse(constant: str) -> object:
        raise AssertionError(f"{constant} is not JSON")

    lines = [json.loads(line, parse_constant=refuse) for line in path.read_bytes().splitlines()]
    good = [line["sequence"] for line in lines if line["outcome"] == "result"]
    assert len(good) == len(set(good)) and (named == BUNDLE.hash or 1 in good)
    assert sum(line["outcome"] == "invalid" for line in lines) == len(lines) - len(good)
