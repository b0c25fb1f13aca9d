"""The person's side of catalogues: which are followed, what was seen of them, what they offer now.

A catalogue is a public space that the person follows, and a record of the private space that has the
provider's keys (each with its place among them) and the hash of every line that was its last when
some device of the person looked. So a
provider that shows these devices two histories is found out; and one that keeps two catalogues, as both
are signed by its key. What was granted from a file is held against them as well.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.query.followed import CATALOGUES
from chez.spaces.public import Address
from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.catalogue import Language, phrase, refused
from chez_sandbox.consent.difference import difference, granted_before
from chez_sandbox.consent.grant import Granted
from chez_sandbox.consent.grants import list_grants
from chez_sandbox.job_errors import CatalogueForked, CatalogueInvalid
from chez_sandbox.offers.feed import MAX_LINES, Feed, find, forked
from chez_sandbox.offers.publishing import feed_of

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.space import Space

__all__ = (
    "COLLECTION",
    "Catalogue",
    "add_catalogue",
    "beside_catalogues",
    "catalogues",
    "offered",
    "pinned_keys",
    "updates",
)

COLLECTION: Final = CATALOGUES


class Catalogue(msgspec.Struct, frozen=True):
    """One that the person follows, as it stands here."""

    space: str
    """The public space's id."""
    name: str
    keys: tuple[str, ...]
    """The provider's signing keys, the newest one last; none while nothing of it came."""
    feed: Feed
    """What verified; nothing when there is a `problem`."""
    bundles: tuple[Bundle, ...]
    """The newest version of each job."""
    problem: CatalogueInvalid | None = None
    """Why nothing of it may be granted."""
    missing: int = 0
    """Lines at its end that some device of the person saw and that are not here: they are still to come, or its
    provider took them back."""

    @property
    def provider(self) -> str:
        """The provider's signing key; empty while nothing of it came."""
        return self.keys[-1] if self.keys else ""

    @property
    def domain(self) -> str:
        """By which its jobs are named, as its newest bundle says."""
        return self.bundles[-1].manifest.provider.domain if self.bundles else ""


async def add_catalogue(home: "Home", address: str) -> str:
    """Follow the catalogue at a public space's address; its space's id. Adding one twice changes nothing.

    Its lines come with the next sync. What was seen of it and is not readable is forgotten. Raises as `Home.follow`.
    """
    try:
        id = Address.read(address).space.hex()
    except InvalidValue:
        raise refused(InvalidValue, "no-address") from None
    if id not in {space.id for space in await home.spaces()}:
        await home.follow(address)
    if not home.space(id).public:
        raise refused(NotAllowed, "not-public")
    kept = home.collection(COLLECTION)
    try:
        _seen((await kept.get(id)).value)
    except (NotFound, CatalogueInvalid):
        await kept.put({"keys": {}, "seen": {}}, id=id)
    return id


async def catalogues(home: "Home") -> list[Catalogue]:
    """Every catalogue that is followed, verified, held against what was seen before, and noted as seen.

    What is wrong with one is in it, and keeps no other from being shown.
    """
    spaces = {space.id: space for space in await home.spaces()}
    records = {one.id: one.value async for one in home.collection(COLLECTION)}
    looked = [await _look(home, spaces[id], value) for id, value in sorted(records.items()) if id in spaces]
    grants = [one for one in await list_grants(home) if not one.revoked]
    return [_granted(_beside(one, looked), grants) for one in looked]


async def offered(home: "Home", job: str) -> Bundle:
    """The newest bundle of a job ("ID", "DOMAIN/ID" or "KEY/ID") in the catalogues that are followed.

    Raises `NotFound`, `InvalidValue` when several providers offer one of the name, and `CatalogueInvalid` of a
    catalogue that does not verify and may be meant.
    """
    known = await catalogues(home)
    try:
        offer = find([(one.domain, one.feed) for one in known], job)
    except NotFound:
        for one in known:
            if one.problem is not None:
                raise one.problem from None
        raise
    return offer.open()


def updates(
    known: Iterable[Catalogue], grants: Sequence[Granted], language: Language = "en"
) -> list[dict[str, Any]]:
    """The newer versions of jobs that were granted and not revoked, each with what it changes, in words."""
    living = [one for one in grants if not one.revoked]
    found = []
    for bundle in (bundle for one in known for bundle in one.bundles):
        before = granted_before(living, bundle)
        if before is not None and before.grant.job_version < bundle.manifest.version:
            manifest = bundle.manifest
            found.append(
                {
                    "job": manifest.id,
                    "name": manifest.name,
                    "provider": manifest.provider.name,
                    "version": manifest.version,
                    "granted": before.grant.job_version,
                    "bundle": bundle.hash.hex(),
                    "changes": difference(before.bundle, bundle, language),
                }
            )
    return found


def beside_catalogues(known: Iterable[Catalogue], bundle: Bundle, language: Language = "en") -> str:
    """What the catalogues say of a bundle that came from somewhere, in one line of words.

    Empty when none that is followed is of its provider. Raises `CatalogueForked` when its provider
    offers another bundle as this version.
    """
    manifest, said = bundle.manifest, ""
    keys = {manifest.provider.signing_key, *(former.key for former in manifest.provider.formerly)}
    for one in known:
        if keys.isdisjoint(one.keys):
            continue
        if one.problem is not None:
            raise one.problem
        said = said or phrase(language, "offers.absent", name=manifest.provider.name)
        if (number := _number_of(one.feed, bundle)) is not None:
            said = phrase(language, "offers.line", number=number, name=manifest.provider.name)
        if one.missing:
            return f"{said}; {phrase(language, 'offers.missing', lines=one.missing)}"
    return said


def _number_of(feed: Feed, bundle: Bundle) -> int | None:
    """The line by which a bundle is offered. Raises `CatalogueForked` when another one is, as its version."""
    manifest = bundle.manifest
    for line in (offer.line for offer in feed.offers):
        if (line.job, line.version) == (manifest.id, manifest.version):
            if line.bundle == bundle.hash:
                return line.number
            which = {"name": manifest.provider.name, "version": line.version, "job": line.job}
            hashes = {"theirs": line.bundle.hex()[:16], "ours": bundle.hash.hex()[:16]}
            raise refused(CatalogueForked, "another-offer", **which, **hashes)
    return None


async def _look(home: "Home", space: "Space", kept: dict[str, Any]) -> Catalogue:
    keys = pinned_keys(kept)
    try:
        feed = await feed_of(space)
        if keys and feed.keys and feed.keys[0] != keys[0]:
            raise refused(CatalogueInvalid, "another-key")
        # A device that looked before may have more of it: what is still to come is no fork.
        for number, hash in (seen := _seen(kept)).items():
            feed.has(number, hash)
        # A manifest of the largest size takes 25 milliseconds to read, and the home answers others meanwhile.
        bundles = await asyncio.to_thread(lambda: tuple(offer.open() for offer in feed.newest))
    except CatalogueInvalid as error:
        return Catalogue(space.id, space.name, keys, Feed(), (), error)
    here = len(feed.offers)
    if feed.provider is not None and here not in seen:
        async with home.collection(COLLECTION).edit(space.id) as draft:
            for place, key in enumerate(feed.keys):
                draft["keys"][key] = place
            draft["seen"][str(here)] = feed.offers[-1].line.hash.hex()
    missing = max(0, max(seen, default=0) - here)
    return Catalogue(space.id, space.name, feed.keys or keys, feed, bundles, missing=missing)


def pinned_keys(kept: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys of a catalogue as some device of the person saw them, the newest one last; none where unreadable."""
    keys = _keys(kept) or {}
    return tuple(sorted(keys, key=lambda key: (keys[key], key)))


def _keys(kept: Mapping[str, Any]) -> Mapping[str, int] | None:
    keys = kept.get("keys")
    return keys if isinstance(keys, Mapping) and all(type(place) is int for place in keys.values()) else None


def _seen(kept: Mapping[str, Any]) -> dict[int, bytes]:
    """The lines that were the last when somebody looked: their hashes by their numbers. Raises `CatalogueInvalid`."""
    try:
        seen = {int(number): bytes.fromhex(hash) for number, hash in kept["seen"].items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        seen = {0: b""}
    if not all(1 <= number <= MAX_LINES for number in seen) or _keys(kept) is None:
        raise refused(CatalogueInvalid, "seen")
    return seen


def _beside(one: Catalogue, looked: Sequence[Catalogue]) -> Catalogue:
    """A catalogue held against others of a same key."""
    for other in looked:
        if other is one or set(one.keys).isdisjoint(other.keys):
            continue
        for here, there in zip(one.feed.offers, other.feed.offers, strict=False):
            if here.line != there.line:
                problem = forked(here.line.number, *sorted((here.line.hash, there.line.hash)))
                return Catalogue(one.space, one.name, one.keys, Feed(), (), problem)
    return one


def _granted(one: Catalogue, grants: Iterable[Granted]) -> Catalogue:
    """A catalogue held against what was granted of its provider, from whichever file."""
    try:
        for granted in grants:
            if granted.grant.provider in one.keys:
                _number_of(one.feed, granted.bundle)
    except CatalogueForked as problem:
        return Catalogue(one.space, one.name, one.keys, Feed(), (), problem)
    return one
