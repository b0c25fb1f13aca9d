"""A bundle: a job as one signed file.

    MessagePack array    "chez-bundle", version 1, kind, manifest, code, signature

`kind` is "python" (source text) or "component" (a WebAssembly component). The signature
is the provider's Ed25519 over the context "chez/1 bundle", the kind, the manifest and the
code; the key is the one the manifest names, so a bundle proves that this provider wrote
all of it, and nothing more: who the provider is, the person judges by its card.

The encoding is canonical: one bundle has exactly one sequence of bytes (the shortest
MessagePack form, which reading checks by writing again), so its hash names it.
"""

import hashlib
from typing import Annotated, Final, Literal

import msgspec

from chez.crypto import CryptoFailed, SigningKey, hash_fields, verify
from chez_sandbox.job_errors import (
    BundleForged,
    BundleMalformed,
    BundleTooLarge,
    BundleUnsigned,
    ManifestInvalid,
    Problem,
)
from chez_sandbox.manifest import MAX_MANIFEST, Manifest, parse_manifest
from chez_sandbox.succession import check_succession

__all__ = (
    "MAX_BUNDLE",
    "MAX_SOURCE",
    "Bundle",
    "Kind",
    "assemble_bundle",
    "build_bundle",
    "open_bundle",
    "sign_bundle",
)

MAX_SOURCE: Final = 256 * 1024
"""Bytes of a Python job: something a person or an auditor can read."""

MAX_BUNDLE: Final = 32 * 1024 * 1024
"""Bytes of a bundle: a component made from an interpreted language takes some 20 MB."""

CONTEXT: Final = "chez/1 bundle"
MAGIC: Final = "chez-bundle"

Kind = Literal["python", "component"]


class _File(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    magic: Literal["chez-bundle"]
    version: Literal[1]
    kind: Kind
    manifest: Annotated[bytes, msgspec.Meta(max_length=MAX_MANIFEST)]
    code: Annotated[bytes, msgspec.Meta(max_length=MAX_BUNDLE)]
    signature: Annotated[bytes, msgspec.Meta(max_length=64)]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_File)


class Bundle(msgspec.Struct, frozen=True):
    """A verified bundle; made by `sign_bundle` and `open_bundle` only."""

    manifest: Manifest
    kind: Kind
    manifest_text: bytes
    code: bytes
    encoded: bytes
    """The whole file."""

    @property
    def hash(self) -> bytes:
        """32 bytes that name exactly this file (BLAKE2b)."""
        return hash_fields("chez/1 bundle hash", self.encoded)

    @property
    def code_hash(self) -> bytes:
        """SHA-256 of the code alone, as other tools show it."""
        return hashlib.sha256(self.code).digest()


def assemble_bundle(manifest_text: bytes, code: bytes, kind: Kind) -> bytes:
    """An unsigned bundle, checked but worth nothing before `sign_bundle`.

    Raises `ManifestInvalid`, `BundleTooLarge`, `BundleMalformed`.
    """
    parse_manifest(manifest_text)
    _check_code(code, kind)
    return _encoder.encode(_File(MAGIC, 1, kind, manifest_text, code, b""))


def sign_bundle(unsigned: bytes, key: SigningKey) -> Bundle:
    """Sign an assembled bundle (again, if need be).

    Raises `ManifestInvalid` when its manifest names another key, and what `open_bundle` does.
    """
    file = _read(unsigned)
    if parse_manifest(file.manifest).provider.signing_key != key.public.hex():
        hint = "sign with the key that `build` was given"
        raise ManifestInvalid(Problem("provider.signing_key", "is not the key that signs", hint))
    signature = key.sign(CONTEXT, file.kind.encode(), file.manifest, file.code)
    return open_bundle(_encoder.encode(_File(MAGIC, 1, file.kind, file.manifest, file.code, signature)))


def build_bundle(manifest_text: bytes, code: bytes, kind: Kind, key: SigningKey) -> Bundle:
    """Assemble and sign a job in one go; raises what `assemble_bundle` and `sign_bundle` do."""
    return sign_bundle(assemble_bundle(manifest_text, code, kind), key)


def open_bundle(encoded: bytes) -> Bundle:
    """Read and verify a bundle.

    Raises `BundleTooLarge`, `BundleMalformed` (another format, bytes to spare, another
    encoding), `BundleUnsigned`, `BundleForged`, or `ManifestInvalid`.
    """
    file = _read(encoded)
    if not file.signature:
        raise BundleUnsigned("the bundle is not signed", "ask its provider for a signed one")
    manifest = parse_manifest(file.manifest)
    try:
        verify(
            bytes.fromhex(manifest.provider.signing_key),
            file.signature,
            CONTEXT,
            file.kind.encode(),
            file.manifest,
            file.code,
        )
    except CryptoFailed:
        raise BundleForged(
            "the signature is not the provider's over this manifest and code",
            "the bundle was changed, or signed with another key: do not grant it",
        ) from None
    check_succession(manifest.provider)
    _check_code(file.code, file.kind)
    return Bundle(manifest, file.kind, file.manifest, file.code, encoded)


def _read(encoded: bytes) -> _File:
    """The parts of a bundle whose bytes are canonical; nothing of them is verified yet."""
    if len(encoded) > MAX_BUNDLE:
        raise BundleTooLarge(f"a bundle has at most {MAX_BUNDLE} bytes, this one {len(encoded)}")
    try:
        file = _decoder.decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BundleMalformed(
            "this is no bundle of a job, or one of a later version",
            "ask its provider for the file that `chez-job build` wrote",
        ) from None
    if _encoder.encode(file) != encoded:
        raise BundleMalformed(
            "the bundle's encoding is not the canonical one", "it was changed after it was signed"
        )
    return file


def _check_code(code: bytes, kind: Kind) -> None:
    if kind == "component":
        if code[:4] != b"\0asm":
            raise BundleMalformed("the code is not WebAssembly")
        return
    if len(code) > MAX_SOURCE:
        raise BundleTooLarge(f"a Python job has at most {MAX_SOURCE} bytes, this one {len(code)}")
    try:
        code.decode()
    except UnicodeDecodeError:
        raise BundleMalformed("the Python source is not UTF-8 text") from None
