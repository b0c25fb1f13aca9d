"""What the owner of a home does for catalogues: one small function per verb.

A provider's key never comes here: the line is handed out, signed by the command, and handed back.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from chez.agent.ui import Ui
from chez.agent.verbs import Verb
from chez.errors import ChezError, InvalidValue, NotFound
from chez.home.making_public import make_public
from chez.phrasing import in_one_line
from chez_sandbox.bundle import open_bundle
from chez_sandbox.consent.catalogue import Language, figure, phrase, refused, say_again
from chez_sandbox.consent.grants import list_grants
from chez_sandbox.consent.inspect import fingerprint, prose
from chez_sandbox.consent.params import Params, read_params
from chez_sandbox.offers.acknowledged import BATCH, Batch, acknowledge, batches_of, compose_batches
from chez_sandbox.offers.feed import Line, Offer, read_head
from chez_sandbox.offers.following import Catalogue, add_catalogue, catalogues, offered, updates
from chez_sandbox.offers.publishing import compose, feed_of, publish_signed

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.home.space import Space

__all__ = ("VERBS", "update_words", "warning_words")


class _Compose(Params, frozen=True, kw_only=True):
    bundle: bytes
    space: Annotated[str, Meta(min_length=1, max_length=64)]


class _Publish(_Compose, frozen=True, kw_only=True):
    line: bytes
    signature: bytes


async def job_compose_offer(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The line to sign that offers a bundle in the public space of this name; `line` is None when it stands there."""
    asked = read_params(params, _Compose)
    space = await make_public(home, asked.space)
    line = await compose(space, open_bundle(asked.bundle))
    if isinstance(line, Offer):
        return {"line": None, **await _published(home, space, line)}
    return {"line": line.encoded.hex(), "number": line.number}


async def job_publish(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Write a signed line, and send it."""
    asked = read_params(params, _Publish)
    try:
        line = msgspec.msgpack.decode(asked.line, type=Line)
    except msgspec.DecodeError:
        raise InvalidValue("this is no line of a catalogue") from None
    space = await make_public(home, asked.space)
    offer = await publish_signed(home, space, open_bundle(asked.bundle), line, asked.signature)
    return await _published(home, space, offer)


async def _published(home: "Home", space: "Space", offer: Offer) -> dict[str, Any]:
    problem, address = await _in_step(home), None
    try:
        address = space.address
    except NotFound as error:
        problem = problem or str(error)
    line, feed = offer.line, await feed_of(space)
    return {
        "job": line.job,
        "version": line.version,
        "number": line.number,
        "bundle": line.bundle.hex(),
        "head": feed.head,
        "space": space.name,
        "address": address,
        "problem": problem,
    }


async def _in_step(home: "Home") -> str:
    """Sync; why that did not work, in words, as what is written here is durable all the same."""
    try:
        await home.sync()
    except ChezError as error:
        return str(error)
    return ""


class _Tokens(Params, frozen=True, kw_only=True):
    space: Annotated[str, Meta(min_length=1, max_length=64)]
    provider: Annotated[bytes, Meta(min_length=32, max_length=32)]
    tokens: Annotated[list[bytes], Meta(max_length=4096)]


class _Batches(Params, frozen=True, kw_only=True):
    space: Annotated[str, Meta(min_length=1, max_length=64)]
    batches: Annotated[list[tuple[bytes, bytes]], Meta(max_length=64)]


async def job_compose_acknowledgements(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The batches to sign that acknowledge messages by their tokens; none for those that are acknowledged."""
    asked = read_params(params, _Tokens)
    known = await batches_of(await make_public(home, asked.space))
    fresh = [token for token in asked.tokens if token not in known]
    made_up = [secrets.token_bytes(16) for _ in range(BATCH)]
    batches = compose_batches(asked.provider, datetime.now(UTC).date(), fresh, made_up)
    return {"batches": [batch.encoded.hex() for batch in batches], "messages": len(set(fresh))}


async def job_acknowledge(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Write signed batches of acknowledgements, and send them."""
    asked = read_params(params, _Batches)
    try:
        batches = [(msgspec.msgpack.decode(body, type=Batch), signature) for body, signature in asked.batches]
    except msgspec.DecodeError:
        raise InvalidValue("this is no batch of acknowledgements") from None
    await acknowledge(home, await make_public(home, asked.space), batches)
    return {"batches": len(batches), "problem": await _in_step(home)}


class _Address(Params, frozen=True, kw_only=True):
    address: str


async def job_catalogue_add(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Follow a catalogue, and show what it offers."""
    asked = read_params(params, _Address)
    id = await add_catalogue(home, asked.address)
    problem = await _in_step(home)
    followed = [one for one in await catalogues(home) if one.space == id]
    return {**await _overview(home, followed, asked.language), "sync": problem}


async def job_catalogue(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """What the catalogues that are followed offer, and which granted jobs have a newer version there."""
    return await _overview(home, await catalogues(home), read_params(params, Params).language)


class _Head(Params, frozen=True, kw_only=True):
    head: str


async def job_catalogue_compare(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Hold what somebody else sees at the end of a catalogue against those that are followed here.

    `state` is "same" where one has this line, "later" where none reaches so far yet. Raises `CatalogueForked`
    when one has another line of this number, and there is no other that it could be about.
    """
    asked = read_params(params, _Head)
    number, hash = read_head(asked.head)

    def told(state: str, name: str | None = None, head: str | None = None) -> dict[str, Any]:
        words = phrase(asked.language, f"compared.{state}", name=in_one_line(name or ""), head=head)
        return {"state": state, "name": name, "head": head, "words": [words]}

    known = [one for one in await catalogues(home) if one.problem is None]
    for one in known:
        if number <= len(one.feed.offers) and one.feed.offers[number - 1].line.hash == hash:
            return told("same", one.name, one.feed.head)
    if not known:
        raise refused(NotFound, "nothing-to-compare")
    for one in known:
        if len(known) == 1:
            one.feed.has(number, hash)
    return told("later" if len(known) == 1 else "unknown")


class _Job(Params, frozen=True, kw_only=True):
    job: Annotated[str, Meta(min_length=1, max_length=320)]


async def job_offer(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The newest bundle of a job in the catalogues that are followed, as hexadecimal text."""
    bundle = await offered(home, read_params(params, _Job).job)
    return {"bundle": bundle.encoded.hex(), "hash": bundle.hash.hex(), "version": bundle.manifest.version}


async def _overview(home: "Home", known: list[Catalogue], language: Language) -> dict[str, Any]:
    newer = updates(known, await list_grants(home), language)
    shown = [_shown(one, language) for one in known]
    words = [line for one in shown for line in _words(one, language)] or [phrase(language, "offers.none")]
    return {"catalogues": shown, "updates": newer, "words": [*words, *update_words(newer, language)]}


def _shown(one: Catalogue, language: Language) -> dict[str, Any]:
    if one.problem is not None:
        say_again(one.problem, language)
    return {
        "space": one.space,
        "name": one.name,
        "provider": one.provider,
        "fingerprint": fingerprint(one.provider) if one.provider else None,
        "formerly": [fingerprint(key) for key in one.keys[:-1]],
        "head": one.feed.head,
        "missing": one.missing,
        "problem": None if one.problem is None else str(one.problem),
        "hint": None if one.problem is None else one.problem.hint,
        "card": None if not one.bundles else _card(one),
        "offers": [
            {
                "job": bundle.manifest.id,
                "version": bundle.manifest.version,
                "name": bundle.manifest.name,
                "purpose": bundle.manifest.purpose.plain,
                "bits": round(bundle.manifest.schema.bits, 2),
                "bundle": bundle.hash.hex(),
            }
            for bundle in one.bundles
        ],
    }


def _card(one: Catalogue) -> dict[str, str]:
    provider = one.bundles[-1].manifest.provider
    return {"name": provider.name, "contact": provider.contact, "domain": provider.domain}


def warning_words(known: list[Catalogue], language: Language) -> list[str]:
    """The loud lines about catalogues that do not verify."""
    shown = [_shown(one, language) for one in known if one.problem is not None]
    return [line for one in shown for line in _words(one, language)]


def _words(one: Mapping[str, Any], language: Language) -> list[str]:
    name = in_one_line(one["name"])
    if one["problem"] is not None:
        warning = phrase(language, "offers.warning", name=name, problem=in_one_line(one["problem"]))
        return [warning, f"  {in_one_line(one['hint'])}"]
    missing = [f"  {phrase(language, 'offers.missing', lines=one['missing'])}"] if one["missing"] else []
    if one["card"] is None:
        return [phrase(language, "offers.empty", name=name), *missing]
    card = one["card"]
    lines = [
        f"{card['name']}, {card['domain']}, {card['contact']}",
        f"  {phrase(language, 'key', words=one['fingerprint'])}",
        *(f"  {phrase(language, 'offers.formerly', words=words)}" for words in reversed(one["formerly"])),
        f"  {phrase(language, 'offers.head', head=one['head'])}",
        *missing,
    ]
    for offer in one["offers"]:
        lines += [
            f"  {phrase(language, 'offers.job', job=offer['job'], version=offer['version'], name=offer['name'])}",
            *(f"    {line}" for line in prose(offer["purpose"])),
            f"    {phrase(language, 'offers.bits', bits=figure(offer['bits']), bundle=offer['bundle'])}",
        ]
    return lines


def update_words(newer: list[dict[str, Any]], language: Language = "en") -> list[str]:
    """What a person is told of newer versions of jobs that they granted; nothing of them runs before it is granted."""
    lines = []
    for one in newer:
        said = {key: one[key] for key in ("version", "name", "job", "granted")}
        lines += [phrase(language, "offers.newer", **said), *(f"  {change}" for change in one["changes"])]
        lines.append(f"  {phrase(language, 'offers.not-yet', job=one['job'])}")
    return lines


VERBS: Final[Mapping[str, Verb]] = {
    "job-acknowledge": job_acknowledge,
    "job-catalogue": job_catalogue,
    "job-catalogue-add": job_catalogue_add,
    "job-catalogue-compare": job_catalogue_compare,
    "job-compose-acknowledgements": job_compose_acknowledgements,
    "job-compose-offer": job_compose_offer,
    "job-offer": job_offer,
    "job-publish": job_publish,
}
"""Among the verbs of `chez_sandbox.consent.verbs`."""
