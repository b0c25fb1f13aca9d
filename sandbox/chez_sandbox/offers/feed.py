"""The feed of a catalogue: which bundles a provider offers, in one chain that only grows.

    line    MessagePack array   1, provider, number, previous, job, version, bundle
    hash    BLAKE2b of the line ("chez/1 catalogue line hash"); `previous` is that of the line before, or zeros
    signed  by the provider's key over the context "chez/1 catalogue line" and the line

A provider signs one line under each number, for everybody. Two of them are its own signature
under a special version for somebody: whoever meets both refuses the whole catalogue. So people compare
its *head*, "NUMBER:HASH", as a dispute about any earlier line is one about the head.

A new key goes on with the chain of the one before: the first line that it signs offers a bundle whose card has the
old key's word on it (`succession`). From then on the old key signs no more.

Nothing here reads or writes: records come in, verified values go out.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Annotated, Any, Final, Literal

import msgspec

from chez.crypto import CryptoFailed, SigningKey, hash_fields, verify
from chez.errors import InvalidValue, NotAllowed, NotFound
from chez_sandbox.bundle import Bundle, open_bundle
from chez_sandbox.consent.catalogue import Phrase, refused
from chez_sandbox.consent.inspect import fingerprint
from chez_sandbox.job_errors import (
    BundleInvalid,
    CatalogueForked,
    CatalogueInvalid,
    ManifestInvalid,
    VersionWentBack,
)
from chez_sandbox.manifest import MAX_FORMERLY, Predecessor

__all__ = (
    "COLLECTION",
    "MAX_BYTES",
    "MAX_JOBS",
    "MAX_LINES",
    "MAX_RECORDS",
    "Feed",
    "Line",
    "Offer",
    "find",
    "forked",
    "next_line",
    "read_feed",
    "read_head",
)

COLLECTION: Final = "chez.offers"
CONTEXT: Final = "chez/1 catalogue line"

MAX_LINES: Final = 10_000
"""Lines of one catalogue: each costs whoever reads it a signature to check, some 100 microseconds."""

MAX_JOBS: Final = 64
"""Jobs of one catalogue: the newest bundle of each is opened whenever it is looked at, up to 25 milliseconds each."""

MAX_RECORDS: Final = 2 * MAX_LINES
"""Records of one catalogue, repeats of a line among them."""

MAX_BYTES: Final = 256 * 1024 * 1024
"""Bytes of all its bundles: a reader holds them in memory."""

_START: Final = bytes(32)

_KEY: Final = re.compile("[0-9a-f]{64}")

Id = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Line(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One line as it is signed."""

    format: Literal[1]
    provider: Id
    """The provider's signing key."""
    number: Annotated[int, msgspec.Meta(ge=1, le=MAX_LINES)]
    """From 1, without a gap."""
    previous: Id
    """The hash of the line before; zeros for the first."""
    job: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,62}\Z")]
    version: Annotated[int, msgspec.Meta(ge=1, le=2**31)]
    bundle: Id
    """The hash of the bundle (`Bundle.hash`)."""

    @property
    def encoded(self) -> bytes:
        """The bytes that are signed: the one encoding there is."""
        return msgspec.msgpack.encode(self)

    @property
    def hash(self) -> bytes:
        """32 bytes that stand for this line and, by `previous`, for every one before it."""
        return hash_fields("chez/1 catalogue line hash", self.encoded)

    def sign(self, key: SigningKey) -> bytes:
        """The provider's word on the line."""
        return key.sign(CONTEXT, self.encoded)


@dataclass(frozen=True, slots=True)
class Offer:
    """One line whose signature and place in the chain were checked, and the bundle's bytes, which were not yet."""

    line: Line
    encoded: bytes = field(repr=False)

    def open(self) -> Bundle:
        """The bundle that the line names. Raises `CatalogueInvalid` for another one, or none."""
        line = self.line
        try:
            bundle = open_bundle(self.encoded)
        except (BundleInvalid, ManifestInvalid) as error:
            raise _invalid(f"what it offers as {line.job} {line.version} is no bundle: {error.message}") from None
        manifest = bundle.manifest
        named = (manifest.id, manifest.version, manifest.provider.signing_key, bundle.hash)
        if named != (line.job, line.version, line.provider.hex(), line.bundle):
            raise _invalid(f"the bundle beside line {line.number} is not the one that the line names")
        return bundle


class Feed(msgspec.Struct, frozen=True):
    """A whole catalogue, from its first line on; made by `read_feed`."""

    offers: tuple[Offer, ...] = ()
    formerly: tuple[Predecessor, ...] = ()
    """The keys that it was of before, oldest first, each with its signature over the next one."""

    @property
    def provider(self) -> str | None:
        """The key whose catalogue it is now, in hexadecimal; None while nothing is offered."""
        return self.offers[-1].line.provider.hex() if self.offers else None

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key that it is or was of, the newest one last."""
        return (*(one.key for one in self.formerly), *([] if self.provider is None else [self.provider]))

    @property
    def head(self) -> str:
        """"NUMBER:HASH" of the last line, to compare with others; "0" while nothing is offered."""
        return f"{len(self.offers)}:{self.offers[-1].line.hash.hex()}" if self.offers else "0"

    @property
    def newest(self) -> list[Offer]:
        """The newest version of each job, in the order of their first lines."""
        return list({offer.line.job: offer for offer in self.offers}.values())

    def has(self, number: int, hash: bytes) -> bool:
        """Whether a line of this hash stands at a number; False while the feed does not reach so far.

        Raises `CatalogueForked` when another one stands there.
        """
        if number > len(self.offers):
            return False
        if (here := self.offers[number - 1].line.hash) != hash:
            raise forked(number, here, hash)
        return True


def read_feed(records: Iterable[Mapping[str, Any]]) -> Feed:
    """The feed that records make, in whatever order they come.

    A record has `line`, `signature` and `bundle`, all bytes. Raises `CatalogueForked` for two lines
    under one number, or a line after another one than the one here; `CatalogueInvalid` for a record that
    is none, a line that is missing, another provider's, or whose version does not rise; and for more of anything
    than a catalogue has.
    """
    lines: dict[int, Offer] = {}
    size = 0
    for count, record in enumerate(records, 1):
        offer = _read(record)
        size += len(offer.encoded)
        if count > MAX_RECORDS or size > MAX_BYTES:
            raise _invalid(f"it has more than {MAX_RECORDS} records, or {MAX_BYTES} bytes of bundles")
        other = lines.setdefault(offer.line.number, offer)
        if other.line != offer.line:
            raise forked(offer.line.number, *sorted((other.line.hash, offer.line.hash)))
    feed = tuple(lines[number] for number in sorted(lines))
    versions: dict[str, int] = {}
    previous, provider = _START, feed[0].line.provider if feed else b""
    formerly: tuple[Predecessor, ...] = ()
    for number, offer in enumerate(feed, 1):
        line = offer.line
        if line.number != number:
            raise _invalid(f"its line {number} is missing")
        if line.provider != provider:
            formerly += _succession(offer, provider, formerly)
            provider = line.provider
        if line.previous != previous:
            raise forked(number - 1, previous, line.previous)
        if line.version <= versions.get(line.job, 0):
            raise _invalid(f"its line {number} goes back to version {line.version} of {line.job}")
        versions[line.job], previous = line.version, line.hash
    if len(versions) > MAX_JOBS:
        raise _invalid(f"it has {len(versions)} jobs, and at most {MAX_JOBS} are looked at")
    return Feed(feed, formerly)


def _succession(offer: Offer, provider: bytes, formerly: Sequence[Predecessor]) -> tuple[Predecessor, ...]:
    """The words that lead from the key of a catalogue to that of its next line. Raises `CatalogueInvalid`."""
    line, known = offer.line, {one.key for one in formerly} | {provider.hex()}
    chain = offer.open().manifest.provider.formerly  # each of them signed the next one, or the bundle does not open
    place = next((at for at, one in enumerate(chain) if one.key == provider.hex()), len(chain))
    added = tuple(chain[place:])
    if not added or line.provider.hex() in known or not known.isdisjoint(one.key for one in added[1:]):
        raise _invalid(f"its line {line.number} is of another key, which the one before it did not sign")
    if len(formerly) + len(added) > MAX_FORMERLY:
        raise _invalid(f"it was of more than {MAX_FORMERLY} keys before")
    return added


def next_line(feed: Feed, bundle: Bundle) -> Line:
    """The line, still to be signed, that offers a bundle next.

    Raises `NotAllowed` for another provider's or a full catalogue, `VersionWentBack` unless its version rises.
    """
    manifest, provider = bundle.manifest, bundle.manifest.provider.signing_key
    if feed.provider not in (None, provider, *(one.key for one in manifest.provider.formerly)):
        raise NotAllowed(
            "this catalogue is of another provider's key, or of a newer one",
            "publish with the key that chez-job keys rotate made last, or into a space of its own",
        )
    if len(feed.offers) >= MAX_LINES:
        raise NotAllowed(f"a catalogue has at most {MAX_LINES} lines", "begin a new one, with another key")
    size = len(bundle.encoded) + sum(len(offer.encoded) for offer in feed.offers)
    if size > MAX_BYTES or len({manifest.id, *(offer.line.job for offer in feed.newest)}) > MAX_JOBS:
        raise NotAllowed(
            f"a catalogue has at most {MAX_JOBS} jobs, and {MAX_BYTES} bytes of bundles",
            "begin a new one, with another key",
        )
    for offer in feed.newest:
        if offer.line.job == manifest.id and offer.line.version >= manifest.version:
            raise VersionWentBack(
                f"version {offer.line.version} of {manifest.id} is published already, and this is {manifest.version}",
                "give the manifest a higher version, build and sign it again",
            )
    previous = feed.offers[-1].line.hash if feed.offers else _START
    return Line(1, bytes.fromhex(provider), len(feed.offers) + 1, previous, manifest.id, manifest.version, bundle.hash)


def read_head(text: str) -> tuple[int, bytes]:
    """The number and hash of a head, as somebody else read it out. Raises `InvalidValue`."""
    if not re.fullmatch(r"[1-9][0-9]{0,4}:[0-9a-f]{64}", said := text.strip().lower()):
        raise refused(InvalidValue, "head", text=text)
    number, _, hash = said.partition(":")
    return int(number), bytes.fromhex(hash)


def find(feeds: Iterable[tuple[str, Feed]], job: str) -> Offer:
    """The newest offer of a job among catalogues by their provider's domain; `job` is "ID", "DOMAIN/ID" or "KEY/ID".

    A domain is what a provider says of itself, so it tells two keys apart only while they say different ones. Raises
    `NotFound`, and `InvalidValue` when several keys offer one of that name, which names each as it can be asked for.
    """
    place, _, id = job.rpartition("/")
    found: dict[str, tuple[str, Feed, Offer]] = {}
    for where, feed in feeds:
        # A domain of 64 hexadecimal digits is nobody's: it could only pass for another's key.
        if place == "" or (place in feed.keys if _KEY.fullmatch(place) else place == where):
            for offer in (one for one in feed.newest if one.line.job == id):
                # Two catalogues of one first key that verified have one history: the longer one has the newer version.
                known = found.get(feed.keys[0])
                if known is None or len(known[1].offers) < len(feed.offers):
                    found[feed.keys[0]] = (where, feed, offer)
    if not found:
        raise refused(NotFound, "not-offered", job=job)
    if len(found) > 1:
        raise _several(id, {feed.keys[-1]: where for where, feed, _ in found.values()})
    ((_, _, offer),) = found.values()
    return offer


def _several(id: str, found: Mapping[str, str]) -> InvalidValue:
    """That several keys offer a job; those of one domain are told apart by their keys."""
    domains = sorted(found.values())
    if len(set(domains)) == len(domains):
        named = _either(f"{where}/{id}" for where in domains)
        return refused(InvalidValue, "several", job=id, named=named)
    keys = sorted(found, key=lambda key: (found[key], key))
    who = "; ".join(f"{found[key]}: {fingerprint(key)}" for key in keys)
    named = _either(f"{key}/{id}" for key in keys)
    return refused(InvalidValue, "impostor", job=id, who=who, named=named)


def _either(names: Iterable[str]) -> Phrase | str:
    first, *rest = names
    return reduce(lambda one, other: Phrase("offers.either", one=one, other=other), rest, first)


def forked(number: int, here: bytes, there: bytes) -> CatalogueForked:
    """That a provider signed two lines under one number."""
    return refused(CatalogueForked, "forked", number=number, here=here.hex()[:16], there=there.hex()[:16])


def _read(record: Mapping[str, Any]) -> Offer:
    try:
        body, signature, encoded = record["line"], record["signature"], record["bundle"]
        line = msgspec.msgpack.decode(body, type=Line)
        verify(line.provider, signature, CONTEXT, body)
    except (CryptoFailed, KeyError, TypeError, ValueError, msgspec.DecodeError):
        raise _invalid("one of its records is no signed line") from None
    if line.encoded != body or not isinstance(encoded, bytes):
        raise _invalid("one of its records is no signed line")
    return Offer(line, encoded)


def _invalid(problem: str) -> CatalogueInvalid:
    return refused(CatalogueInvalid, "catalogue", problem=problem)
