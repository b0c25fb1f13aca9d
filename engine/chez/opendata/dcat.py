"""A catalogue as JSON-LD in the terms of DCAT-AP 3.0.1, for portals and harvesters that know nothing of Chez.

Terms as in the profile's own context (SEMICeu/DCAT-AP, releases/3.0.1): DCAT 3 (W3C, 2024), Dublin Core, FOAF, SPDX and
ADMS; themes, frequencies, languages and file types by the addresses of the EU's vocabularies. What DCAT has no word
for, the address of the space that has the data, is a `dcat:accessURL` with the scheme `chez-public`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from chez.opendata.metadata import Card, Metadata, Spatial

__all__ = ("CONTEXT", "jsonld")

CONTEXT: Final[Mapping[str, str]] = {
    "adms": "http://www.w3.org/ns/adms#",
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "spdx": "http://spdx.org/rdf/terms#",
    "vcard": "http://www.w3.org/2006/vcard/ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}

AUTHORITY: Final = "http://publications.europa.eu/resource/authority/"
IANA: Final = "http://www.iana.org/assignments/media-types/"
SHA256: Final = "http://spdx.org/rdf/terms#checksumAlgorithm_sha256"
LANGUAGES: Final = {"de": "DEU", "en": "ENG", "es": "SPA", "fr": "FRA", "it": "ITA", "nl": "NLD", "pt": "POR"}
"""Of ISO 639-1, the codes of the EU's vocabulary of languages, which has those of ISO 639-3."""

Node = dict[str, Any]


def jsonld(card: Card, publisher: str, datasets: Iterable[Metadata]) -> Node:
    """The catalogue of a publisher, whose key names it (hexadecimal)."""
    me = f"urn:chez:publisher:{publisher}"
    agent: Node = {"@id": me, "@type": "foaf:Agent", "foaf:name": card.name}
    found: Node = {
        "@context": dict(CONTEXT),
        "@id": f"urn:chez:catalogue:{publisher}",
        "@type": "dcat:Catalog",
        "dct:title": _text(card.title, card.language),
        "dct:description": _text(card.description or card.title, card.language),
        "dct:publisher": agent,
        "dct:language": _language(card.language),
        "dcat:dataset": [_dataset(one, me, publisher, card) for one in datasets],
    }
    if card.licence:
        found["dct:license"] = _link(card.licence)
    if card.homepage:
        found["foaf:homepage"] = _link(card.homepage)
    return found


def _dataset(one: Metadata, agent: str, publisher: str, card: Card) -> Node:
    language = one.language or card.language
    found: Node = {
        "@id": f"urn:chez:dataset:{publisher}:{one.id}",
        "@type": "dcat:Dataset",
        "dct:identifier": one.id,
        "dct:title": _text(one.title, language),
        "dct:description": _text(one.description, language),
        "dct:publisher": _link(agent),
        "dcat:contactPoint": {"@type": "vcard:Kind", "vcard:fn": card.contact},
        "dcat:theme": [_link(f"{AUTHORITY}data-theme/{theme}") for theme in one.themes],
        "dcat:keyword": [_text(word, language) for word in one.keywords],
        "dct:language": _language(language),
        "dcat:distribution": _distributions(one),
    }
    if one.frequency:
        found["dct:accrualPeriodicity"] = _link(f"{AUTHORITY}frequency/{one.frequency}")
    if one.spatial:
        found["dct:spatial"] = _location(one.spatial)
    if one.begins or one.ends:
        period: Node = {"@type": "dct:PeriodOfTime"}
        period |= {"dcat:startDate": _date(one.begins)} if one.begins else {}
        period |= {"dcat:endDate": _date(one.ends)} if one.ends else {}
        found["dct:temporal"] = period
    for term, day in (("dct:issued", one.issued), ("dct:modified", one.modified)):
        if day:
            found[term] = _date(day)
    if one.edition:
        found["dcat:version"] = str(one.edition)
    if one.notes:
        found["adms:versionNotes"] = _text(one.notes, language)
    if one.landing_page:
        found["dcat:landingPage"] = _link(one.landing_page)
    return {term: value for term, value in found.items() if value != []}


def _distributions(one: Metadata) -> list[Node]:
    """The space with the data, and beside it the file where that can be had; each has the licence, as DCAT-AP asks."""
    found: list[Node] = []
    for file in one.distributions:
        node: Node = {
            "@type": "dcat:Distribution",
            "dct:license": _link(one.licence),
            "dct:format": _link(f"{AUTHORITY}file-type/{file.format}"),
            "dcat:mediaType": _link(IANA + file.media_type),
            "dcat:byteSize": {"@value": str(file.bytes), "@type": "xsd:nonNegativeInteger"},
            "spdx:checksum": {
                "@type": "spdx:Checksum",
                "spdx:algorithm": _link(SHA256),
                "spdx:checksumValue": {"@value": file.sha256, "@type": "xsd:hexBinary"},
            },
        }
        if one.download:
            node["dcat:downloadURL"] = _link(one.download)
        if access := one.address or one.download or one.landing_page:
            found.append(node | {"dcat:accessURL": _link(access)})
    if not found and (access := one.download or one.landing_page):
        found.append({"@type": "dcat:Distribution", "dct:license": _link(one.licence), "dcat:accessURL": _link(access)})
    return found


def _location(spatial: Spatial) -> Node:
    found: Node = {"@type": "dct:Location"}
    if spatial.name:
        found["rdfs:label"] = spatial.name
    if spatial.west is not None:
        w, s, e, n = spatial.west, spatial.south, spatial.east, spatial.north
        found["dcat:bbox"] = {
            "@value": f"POLYGON(({w} {s}, {e} {s}, {e} {n}, {w} {n}, {w} {s}))",
            "@type": "http://www.opengis.net/ont/geosparql#wktLiteral",
        }
    return found


def _language(code: str) -> list[Node]:
    return [_link(f"{AUTHORITY}language/{LANGUAGES[code]}")] if code in LANGUAGES else []


def _text(text: str, language: str) -> Node:
    return {"@value": text, "@language": language}


def _date(day: str) -> Node:
    return {"@value": day, "@type": "xsd:date"}


def _link(address: str) -> Node:
    return {"@id": address}
