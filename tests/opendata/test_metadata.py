"""What is said of a dataset: TOML in, a record of the catalogue, and JSON-LD out."""

import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chez.errors import HomeExists, InvalidValue, NotAllowed, NotFound
from chez.opendata.dcat import CONTEXT, jsonld
from chez.opendata.keys import PublisherKey, key_words, load_key, save_key
from chez.opendata.metadata import Distribution, Metadata, Spatial, Table, read_about, read_card, read_metadata
from chez.spaces.public import Address
from chez_wire.pins import MAX_PINS, pins_from
from tests.cli.support import within
from tests.opendata.support import CARD, KEY, about

ABOUT = """
id = "velov-stations"
title = "Stations Vélo'v"
description = "Where bikes are."
licence = "https://www.etalab.gouv.fr/licence-ouverte-open-licence"
themes = ["TRAN"]
keywords = ["vélo"]
frequency = "DAILY"
begins = "2026-01-01"
identity = ["number"]
spatial = {name = "Lyon", west = 4.7, south = 45.6, east = 5.0, north = 45.9}
types = {number = "text"}
"""


def test_an_about_is_read_and_its_mistakes_are_named() -> None:
    """A whole about.toml is read; a field that is unknown, missing or wrong, a code that is none, a day that there is
    not and half a box are each named."""
    read = read_about(ABOUT)
    assert (read.id, read.identity, read.types, read.spatial and read.spatial.name) == (
        "velov-stations", ("number",), {"number": "text"}, "Lyon")
    for old, new, words in (
        ("title =", "titel =", "titel"), ('licence = "https', 'licence = "javascript', "licence"),
        ("TRAN", "BIKE", "BIKE"), ("DAILY", "SOON", "SOON"), ("2026-01-01", "2026-02-30", "2026-02-30"),
        (", north = 45.9", "", "four sides"),
        ('title = "', r'title = "Two\nlines, ', "one line"), ('"vélo"', r'"vélo\nbus"', "one line"),
        ("45.6", "95.6", "south"), ('id = "velov', 'id = "Velo v', "id"), ("[", "[[", "TOML")):
        with pytest.raises(InvalidValue, match=words):
            read_about(ABOUT.replace(old, new, 1))
    with pytest.raises(InvalidValue, match="characters"):
        read_about("#" * 100_000)


@given(st.text(max_size=60))
def test_any_text_is_an_about_or_a_typed_error(text: str) -> None:
    """TOML of anything is refused in words."""
    with pytest.raises(InvalidValue):
        read_about(text)


def whole() -> Metadata:
    """Everything that can be said."""
    return Metadata(
        **{name: getattr(read_about(ABOUT), name) for name in ("id", "title", "description", "licence", "themes",
                                                               "keywords", "frequency", "begins", "spatial")},
        landing_page="https://data.example.org/velov", download="https://data.example.org/velov.csv",
        issued="2026-01-02", modified="2026-02-03", notes="New stations.", edition=3, content="ab" * 32,
        address="chez-public:abc",
        distributions=(Distribution(format="CSV", media_type="text/csv", bytes=5, sha256="cd" * 32),),
        tables=(Table(name="open_velov", rows=2),))


def test_a_record_of_the_catalogue_is_read_back_and_what_is_bent_is_not() -> None:
    """What is said comes back from its record; under another id, with unknown fields, giants, or line breaks where one
    line is, it says nothing."""
    value: dict[str, Any] = msgspec.to_builtins(whole())
    assert read_metadata("velov-stations", value) == whole() and whole().rows == 2
    assert read_metadata("other", value) is None
    for bent in ({"x": 1}, {"title": "a\nb"}, {"keywords": ["a\x1b"]}, {"title": "a" * 9999}, {"edition": -1},
                 {"address": 5}, {"tables": [{"name": "transactions", "rows": 1}]}):
        assert read_metadata("velov-stations", value | bent) is None
    assert read_card(msgspec.to_builtins(CARD)) == CARD and read_card({"name": "x"}) is None


def test_the_longest_address_fits_into_a_record_of_the_catalogue() -> None:
    """A name of 128 characters in any writing, and every pin that a relay may have: nobody's dataset is unreadable."""
    address = Address(bytes(32), bytes(32), f"wss://{'a' * 240}.example.org", bytes(32), "\U00020000" * 128,
                      pins_from([bytes([n]) * 32 for n in range(MAX_PINS)]))
    value: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(whole(), address=address.text))
    found = read_metadata("velov-stations", value)
    assert found is not None and Address.read(found.address or "") == address


def test_the_export_has_the_terms_of_dcat_ap() -> None:
    """What DCAT-AP 3 asks of a catalogue, a dataset and a distribution is in the export, each term of a known
    vocabulary, themes and frequencies by the EU's addresses; a dataset that says least has no empty term."""
    found = jsonld(CARD, KEY.public.hex(), [whole(), Metadata(**msgspec.structs.asdict(about()))])
    assert (found["@type"], found["dct:publisher"]["foaf:name"]) == ("dcat:Catalog", "Grand Lyon")
    dataset, least = found["dcat:dataset"]
    assert dataset["dct:title"] == {"@value": "Stations Vélo'v", "@language": "fr"}
    assert dataset["dct:accrualPeriodicity"]["@id"].endswith("/authority/frequency/DAILY")
    assert dataset["dcat:theme"][0]["@id"].endswith("/authority/data-theme/TRAN")
    assert dataset["dct:spatial"]["dcat:bbox"]["@value"].startswith("POLYGON((4.7 45.6")
    (distribution,) = dataset["dcat:distribution"]
    assert distribution["dcat:accessURL"] == {"@id": "chez-public:abc"}
    assert distribution["spdx:checksum"]["spdx:checksumValue"]["@value"] == "cd" * 32
    assert "dct:license" in distribution and "dcat:distribution" not in least

    def terms(node: Any) -> list[str]:
        if isinstance(node, list):
            return [term for one in node for term in terms(one)]
        if isinstance(node, dict):
            own = [key for key in node if not key.startswith("@")]
            return own + [term for one in node.values() for term in terms(one)]
        return []

    assert {term.partition(":")[0] for term in terms({**found, "@context": None})} <= CONTEXT.keys()
    assert Spatial() == Spatial(name=None)


def test_a_key_whose_card_nobody_could_read_is_not_made(tmp_path: Path) -> None:
    """A name of two lines is refused with what works, before there is a key that publishes it."""
    said = "python -m chez publisher new-key --title Data --contact x@y.org --name Grand\nLyon --out".split(" ")
    done = within([*said, str(tmp_path / "key")], b"")
    assert done.returncode == 1 and "one line each" in done.stderr and not (tmp_path / "key").exists()


def test_a_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    """A key is written once, readable by its owner only, and read back; one that others may read, none, and what is no
    key are refused; its repr shows no seed."""
    path = tmp_path / "key"
    key = PublisherKey(card=CARD, seed=KEY.seed.hex())
    save_key(path, key)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600 and load_key(path) == key
    assert key.seed not in repr(key) and len(key_words(KEY.public).split()) == 6
    with pytest.raises(HomeExists):
        save_key(path, key)
    path.chmod(0o644)
    with pytest.raises(NotAllowed):
        load_key(path)
    with pytest.raises(NotFound):
        load_key(tmp_path / "none")
    (tmp_path / "other").write_text("{}")
    (tmp_path / "other").chmod(0o600)
    with pytest.raises(InvalidValue):
        load_key(tmp_path / "other")
