"""Consent records and departures as JSON-LD, to keep, show or hand to an authority.

The records have the parts of ISO/IEC TS 27560:2023 (who, whose data, for what, which data, how
long, which state since when, by which notice) in the terms of the W3C Data Privacy Vocabulary, as the guide
of that vocabulary's group lays them out (`consent.dpv`). docs/consent.md names the parts that are there, and
those that are not.

Four signatures are in the file, each checked with Ed25519 alone (docs/consent.md has the
procedure):

    the provider's   over manifest and code: it signs the terms before anybody consents, for
                     everybody alike
    the provider's   over the hash of the consent, in the token by which it acknowledges a result. Earlier it
                     could not be without telling the provider who consented, and when, before any result leaves
    the device's     over the grant, when it was given, which binds the bundle's hash
    the device's     over the whole file, when it was exported: states, refusals and departures
"""

import base64
import json
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from chez_sandbox.consent.departures import Left, departures
from chez_sandbox.consent.dpv import NAMESPACE
from chez_sandbox.consent.grant import Granted
from chez_sandbox.consent.grants import COLLECTION, list_grants
from chez_sandbox.consent.inspect import describe, fingerprint, plain_words
from chez_sandbox.consent.narrowing import narrowed_words
from chez_sandbox.consent.overview import granted_reads
from chez_sandbox.offers.acknowledged import Word, words_of_providers

if TYPE_CHECKING:
    from chez.home.home import Home

__all__ = ("EXPORT", "canonical", "export_consents")

EXPORT: Final = "consent export"
"""The context that an export is signed under."""

SCHEMA: Final = "urn:chez:consent:1"
"""The form of a record. Not the IRI of the guide's profile, which demands parts that nobody knows here."""

OWN: Final = f"{SCHEMA}#"

CONTEXT: Final[Mapping[str, str]] = {
    # Names without a prefix are ours: without a vocabulary, expansion drops them and what they hold.
    "@vocab": OWN,
    "dpv": NAMESPACE,
    "dct": "http://purl.org/dc/terms/",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "chez": OWN,
}


def canonical(document: Mapping[str, Any]) -> bytes:
    """What the proof of an export signs: the JSON text without the proof, ASCII, names in order, no spaces."""
    rest = {key: value for key, value in document.items() if key != "chez:proof"}
    return json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


async def export_consents(home: "Home", now: str, today: date) -> dict[str, Any]:
    """All grants that verify, all refusals, and everything that left, in one signed JSON-LD document.

    `now` is the RFC 3339 time that the document bears. Grants of the person's other devices are
    in it; what left, and what was refused, is this device's to say.
    """
    runs = [receipt.body["grant"] for receipt in await home.journal.receipts("run")]
    withdrawn = {one.body["grant"]: one.time for one in await home.journal.receipts("revocation")}
    lefts = await departures(home)
    words = {one.grant: one for one in reversed(await words_of_providers(home, lefts))}
    graph = []
    for granted in await list_grants(home):
        id = granted.grant.id
        signed = (await home.collection(COLLECTION).get(id)).value
        state = granted.state(home.device_id, today, runs.count(id))
        record = _record(home, granted, state, withdrawn.get(id), signed)
        graph.append(record | {"chez:countersignature": _countersignature(words.get(id))})
    graph += [_refused(home, one.time, one.body) for one in await home.journal.receipts("grant-refused")]
    graph += [_departure(left) for left in lefts]
    document: dict[str, Any] = {"@context": dict(CONTEXT), "dct:created": now, "@graph": _without_nulls(graph)}
    signature = home.sign(EXPORT, canonical(document))
    return {**document, "chez:proof": {"chez:device": home.device_id.hex(), "chez:signature": _text(signature)}}


def _record(
    home: "Home", granted: Granted, state: str, withdrawn: str | None, signed: Mapping[str, Any]
) -> dict[str, Any]:
    grant, bundle = granted.grant, granted.bundle
    manifest, shown = bundle.manifest, describe(bundle)
    return {
        "@id": f"urn:chez:grant:{grant.id}",
        "@type": "dpv:ConsentRecord",
        "dct:conformsTo": {"@id": SCHEMA},
        "dct:identifier": grant.id,
        "dct:created": grant.granted,
        "dpv:hasDataSubject": _subject(home),
        "dpv:hasProcess": _process(granted) | {"chez:result": shown["leaves"]},
        "dpv:hasNotice": {
            "@type": "dpv:ConsentNotice",
            "dct:identifier": grant.bundle,
            "dct:language": "en",
            "chez:words": plain_words(shown),
        },
        "dpv:hasConsentStatus": _states(home, granted, state, withdrawn),
        "chez:narrowed": narrowed_words(manifest, grant.narrowed),
        "chez:runs": grant.runs,
        "chez:bits": grant.bits,
        "chez:epsilon": grant.epsilon,
        "chez:review": grant.review,
        "chez:slots": grant.slots,
        "chez:holdHours": grant.hold_hours,
        "chez:state": state,
        "chez:evidence": _evidence(granted, signed),
    }


def _process(granted: Granted) -> dict[str, Any]:
    manifest = granted.bundle.manifest
    provider = manifest.provider
    controller = _controller(provider.signing_key, provider.name) | {
        "dpv:hasContact": provider.contact,
        "chez:domain": provider.domain,
        "chez:fingerprint": fingerprint(provider.signing_key),
    }
    return {
        "@type": "dpv:Process",
        "dpv:hasPurpose": _purpose(manifest.purpose.dpv) | {"dct:description": manifest.purpose.plain},
        "dpv:hasService": {"@type": "dpv:Service", "dct:identifier": manifest.id, "dct:title": manifest.name},
        "dpv:hasLegalBasis": {"@id": manifest.purpose.lawful_basis},
        "dpv:hasPersonalData": [{"@type": "dpv:PersonalData", "chez:read": read} for read in granted_reads(granted)],
        "dpv:hasDataController": controller,
        # The controller is no third party: to the vocabulary it is a recipient all the same.
        "dpv:hasRecipient": {"@id": controller["@id"]},
        "dpv:hasProcessingCondition": {
            "@type": "dpv:ProcessingLocation", "dpv:hasLocation": {"@id": "dpv:WithinDevice"}
        },
        "dpv:hasStorageCondition": {"@type": "dpv:StorageDuration", "dpv:hasDuration": f"P{manifest.retention_days}D"},
        "dpv:hasConsentControl": {
            "@type": "dpv:WithdrawConsent",
            "dpv:isExercisedAt": f"chez job revoke {granted.grant.id}, on any device of the person",
        },
    }


def _controller(key: str, name: str) -> dict[str, Any]:
    return {
        "@id": f"urn:chez:provider:{key}",
        "@type": "dpv:DataController",
        "dpv:hasIdentifier": key,
        "dpv:hasName": name,
    }


def _purpose(term: str) -> dict[str, Any]:
    return {"@type": "dpv:Purpose", "skos:broader": {"@id": term}}


def _subject(home: "Home") -> dict[str, str]:
    return {"@id": f"urn:chez:person:{home.person_id.hex()}", "@type": "dpv:DataSubject"}


def _states(home: "Home", granted: Granted, state: str, withdrawn: str | None) -> list[dict[str, Any]]:
    """The states in their order; the vocabulary's "revoked" is by others than the person, whose word is "withdrawn"."""
    by = _subject(home)
    day = {"@type": "xsd:date", "@value": granted.grant.until}
    until = {"@type": "dpv:UntilTimeDuration", "rdf:value": day}
    given = {
        # A yes to one question about nothing else: the vocabulary's "explicitly expressed".
        "@type": ["dpv:ConsentGiven", "dpv:ExplicitlyExpressedConsent"],
        "dpv:isIndicatedBy": by,
        "dpv:isIndicatedAtTime": granted.grant.granted,
        "dpv:hasIndicationMethod": f"a yes on device {granted.grant.device}, which signed it",
        "dpv:hasDuration": until,
    }
    if state == "revoked":
        # Another device of the person may have said so: then its journal has the time, not this one's.
        time = {} if withdrawn is None else {"dpv:isIndicatedAtTime": withdrawn}
        return [given, {"@type": "dpv:ConsentWithdrawn", "dpv:isIndicatedBy": by, **time}]
    expired = [{"@type": "dpv:ConsentExpired", "rdf:value": day}] if state == "ended" else []
    return [given, *expired]


def _evidence(granted: Granted, signed: Mapping[str, Any]) -> dict[str, str]:
    """What the two parties signed, as it was signed; bytes as base64."""
    bundle = granted.bundle
    # The bundle is one MessagePack array, and the last of it the provider's signature of 64 bytes.
    return {
        "chez:device": granted.grant.device,
        "chez:grant": _text(signed["body"]),
        "chez:grantSignature": _text(signed["signature"]),
        "chez:bundle": _text(bundle.encoded),
        "chez:kind": bundle.kind,
        "chez:manifest": _text(bundle.manifest_text),
        "chez:code": _text(bundle.code),
        "chez:providerSignature": _text(bundle.encoded[-64:]),
    }


def _countersignature(word: Word | None) -> dict[str, Any] | None:
    """What the provider signed that follows from this consent, and what else it follows from."""
    if word is None:
        return None
    return {
        "chez:pseudonym": word.pseudonym.hex(),
        "chez:sequence": word.sequence,
        "chez:day": word.day,
        "chez:batch": _text(word.batch),
        "chez:signature": _text(word.signature),
        # Where a later key of the provider signed: how it follows from the one that the consent names.
        "chez:succession": [
            {"chez:key": key, "chez:signature": _text(bytes.fromhex(signature))} for key, signature in word.succession
        ],
    }


def _refused(home: "Home", time: str, body: Mapping[str, Any]) -> dict[str, Any]:
    refused = {"@type": "dpv:ConsentRefused", "dpv:isIndicatedBy": _subject(home), "dpv:isIndicatedAtTime": time}
    return {
        "@type": "dpv:ConsentRecord",
        "dct:conformsTo": {"@id": SCHEMA},
        "dct:created": time,
        "dpv:hasDataSubject": _subject(home),
        "dpv:hasProcess": {
            "@type": "dpv:Process",
            "dpv:hasPurpose": _purpose(body["purpose"]),
            "dpv:hasService": {"@type": "dpv:Service", "dct:identifier": body["job"]},
            "dpv:hasDataController": _controller(body["provider"], body["provider_name"]),
        },
        "dpv:hasNotice": {
            "@type": "dpv:ConsentNotice", "dct:identifier": body["bundle"], "chez:version": body["version"]
        },
        "dpv:hasConsentStatus": [refused],
    }


def _departure(left: Left) -> dict[str, Any]:
    return {
        "@id": f"urn:chez:departure:{left.grant}:{left.sequence}",
        "@type": "chez:Departure",
        "dct:created": left.time,
        "dct:isPartOf": {"@id": f"urn:chez:grant:{left.grant}"},
        "dpv:hasRecipient": _controller(left.provider, left.provider_name),
        "chez:outcome": left.outcome,
        "chez:result": left.result,
        "chez:reason": left.reason,
        "chez:bits": left.bits,
        "chez:relay": left.relay,
        "chez:tried": left.tried,
        "chez:delivered": left.delivered,
        "chez:message": _text(left.message),
        "chez:messageSha256": left.sha256,
        "chez:receipt": {"chez:device": left.device, "chez:number": left.number},
    }  # fmt: skip


def _without_nulls(value: Any) -> Any:
    """The same without what is null: to JSON-LD a null is nothing at all, so the file says as much as its expansion."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
