"""What is said of a dataset, and of who publishes it: records of the catalogue, in terms of DCAT-AP 3.

A publisher writes it as TOML, one file for each dataset (`read_about`); what follows from the data (fields, rows,
address, content) is added when it is published.
"""

import re
import tomllib
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from chez.connectors.tables import ColumnType
from chez.errors import InvalidValue

__all__ = (
    "CARD", "DATASETS", "FREQUENCIES", "PUBLISHER", "THEMES", "About", "Card", "Distribution", "Field", "Metadata",
    "Spatial", "Table", "read_about", "read_card", "read_metadata", "require_readable",
)

DATASETS: Final = "chez.datasets"
"""The catalogue's collection of what is said of datasets, by their ids."""

PUBLISHER: Final = "chez.publisher"
"""The catalogue's collection of the publisher's card."""

CARD: Final = "card"
"""The id of the card there."""

THEMES: Final = ("AGRI", "ECON", "EDUC", "ENER", "ENVI", "GOVE", "HEAL", "INTR", "JUST", "OP_DATPRO", "REGI", "SOCI",
                 "TECH", "TRAN")
"""Codes of the EU's vocabulary of data themes, which DCAT-AP asks for."""

FREQUENCIES: Final = (
    "10MIN", "12HRS", "15MIN", "1MIN", "ANNUAL", "ANNUAL_2", "ANNUAL_3", "AS_NEEDED", "BIENNIAL", "BIMONTHLY",
    "BIWEEKLY", "CONT", "DAILY", "DAILY_2", "DECENNIAL", "HOURLY", "IRREG", "MONTHLY", "MONTHLY_2", "MONTHLY_3",
    "NEVER", "NOT_PLANNED", "OTHER", "QUADRENNIAL", "QUARTERLY", "QUINQUENNIAL", "TRIENNIAL", "TRIHOURLY", "UNKNOWN",
    "UPDATE_CONT", "WEEKLY", "WEEKLY_2", "WEEKLY_3",
)
"""Codes of the EU's vocabulary of frequencies."""

EACH_ROW: Final = 400
"""Bytes of a device's store that a row takes beside what it says: measured, `opendata.takes_*` of the benchmarks."""

COPIES: Final = 2.5
"""How often what a row says is in a device's store: in its projection as it is, in entry and document compressed."""

MAX_ADDRESS: Final = 4096
"""Characters of a public space's address: a long name and as many pins as there may be fit."""

MAX_ABOUT: Final = 64 * 1024
"""Bytes of an about.toml."""

Short = Annotated[str, Meta(min_length=1, max_length=200)]
Long = Annotated[str, Meta(min_length=1, max_length=4000)]
Word = Annotated[str, Meta(min_length=1, max_length=64)]
Link = Annotated[str, Meta(pattern=r"^https?://[^\s<>\"{}|\\^`]{1,300}\Z")]
Slug = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,62}\Z")]
Day = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}\Z")]
Language = Annotated[str, Meta(pattern=r"^[a-z]{2,3}\Z")]
Longitude = Annotated[float, Meta(ge=-180, le=180)]
Latitude = Annotated[float, Meta(ge=-90, le=90)]


class _Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What is said; nothing that is not known is let through."""


class Card(_Said, frozen=True):
    """Who publishes a catalogue (foaf:Agent), and the catalogue's own title."""

    title: Short
    name: Short
    contact: Short
    homepage: Link | None = None
    language: Language = "en"
    description: Long | None = None
    licence: Link | None = None


class Spatial(_Said, frozen=True):
    """Where a dataset is about (dct:Location): a name, and degrees of WGS 84."""

    name: Short | None = None
    west: Longitude | None = None
    south: Latitude | None = None
    east: Longitude | None = None
    north: Latitude | None = None


class Field(_Said, frozen=True):
    """A field of a table."""

    name: Word
    type: ColumnType | Literal["boolean", "mixed"]


class Table(_Said, frozen=True):
    """A table of a dataset: the collection that SQL reads, how many rows it has, and their fields."""

    name: Annotated[str, Meta(pattern=r"^open_[a-z0-9_]{1,120}\Z")]
    rows: Annotated[int, Meta(ge=0)]
    fields: Annotated[tuple[Field, ...], Meta(max_length=256)] = ()


class Distribution(_Said, frozen=True):
    """A form in which a dataset is there (dcat:Distribution): the file that it was published from."""

    format: Word
    media_type: Annotated[str, Meta(pattern=r"^[a-z]+/[a-zA-Z0-9.+-]{1,80}\Z")]
    bytes: Annotated[int, Meta(ge=0)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class About(_Said, frozen=True):
    """What a publisher writes of a dataset."""

    id: Slug
    title: Short
    description: Long
    licence: Link
    """The address of the licence, as from the EU's or SPDX's list."""
    themes: Annotated[tuple[Word, ...], Meta(max_length=8)] = ()
    """Codes of `THEMES`."""
    keywords: Annotated[tuple[Word, ...], Meta(max_length=32)] = ()
    frequency: Word | None = None
    """A code of `FREQUENCIES`."""
    language: Language | None = None
    spatial: Spatial | None = None
    begins: Day | None = None
    ends: Day | None = None
    issued: Day | None = None
    landing_page: Link | None = None
    download: Link | None = None
    """Where else the file can be had: what is fetched from there tells its server who asks."""
    notes: Long | None = None
    """What to know of the newest version (adms:versionNotes)."""
    identity: Annotated[tuple[Word, ...], Meta(max_length=8)] = ()
    """The columns that identify a row of a table; without, all of it does."""
    types: Annotated[dict[Word, ColumnType], Meta(max_length=256)] = {}
    """Columns whose type is declared."""


class Metadata(About, frozen=True):
    """What the catalogue says of a dataset."""

    modified: Day | None = None
    distributions: Annotated[tuple[Distribution, ...], Meta(max_length=8)] = ()
    tables: Annotated[tuple[Table, ...], Meta(max_length=16)] = ()
    address: Annotated[str, Meta(max_length=MAX_ADDRESS)] | None = None
    """The address of the public space with the data; None while there is no data here."""
    size: Annotated[int, Meta(ge=0)] = 0
    """Bytes of all rows as JSON; 0 where that is not said."""
    edition: Annotated[int, Meta(ge=0)] = 0
    """The edition that there is at least."""
    content: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")] | None = None
    """The content's hash of that edition."""

    @property
    def rows(self) -> int:
        """The rows of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def takes(self) -> int:
        """Bytes that it takes about on the device of who subscribes it, as the publisher says (docs/opendata.md)."""
        return self.rows * EACH_ROW + int(self.size * COPIES)


def read_about(text: str) -> About:
    """An about.toml. Raises `InvalidValue` naming what is wrong with it."""
    if len(text) > MAX_ABOUT:
        raise InvalidValue(f"what is said of a dataset has {len(text)} characters", f"At most {MAX_ABOUT} are read.")
    try:
        about = msgspec.convert(tomllib.loads(text), About)
    except tomllib.TOMLDecodeError as error:
        raise InvalidValue(f"this is no TOML: {error}", "See docs/opendata.md for an example.") from None
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidValue(f"what is said of the dataset is wrong: {error}",
                           "See docs/opendata.md for what can be said.") from None
    _check_codes(about)
    require_readable(about)
    return about


def require_readable(said: About | Card) -> None:
    """Raise `InvalidValue` for what nobody who follows would be shown: a line break where one line is, say."""
    value: dict[str, Any] = msgspec.to_builtins(said)
    if isinstance(said, Card):
        if read_card(value) is None:
            raise InvalidValue("this card can't be read by who follows it",
                               "Title, name and contact are one line each, and nothing is too long.")
    elif read_metadata(said.id, value) is None:
        raise InvalidValue(f"what is said of the dataset {said.id!r} can't be read by who follows it",
                           "The title and each keyword are one line, and nothing is too long.")


def _check_codes(about: About) -> None:
    if unknown := [theme for theme in about.themes if theme not in THEMES]:
        raise InvalidValue(f"{unknown[0]!r} is no theme", f"The EU's vocabulary has: {', '.join(THEMES)}.")
    if about.frequency is not None and about.frequency not in FREQUENCIES:
        raise InvalidValue(f"{about.frequency!r} is no frequency",
                           f"The EU's vocabulary has: {', '.join(FREQUENCIES)}.")
    for said in (about.begins, about.ends, about.issued):
        try:
            date.fromisoformat(said or "2000-01-01")
        except ValueError:
            raise InvalidValue(f"there is no day {said}", "Days are written like 2024-02-29.") from None
    box = about.spatial and (about.spatial.west, about.spatial.south, about.spatial.east, about.spatial.north)
    if box and None in box and any(side is not None for side in box):
        raise InvalidValue("a box has four sides: west, south, east and north", "Say all of them, or none.")


def read_metadata(id: str, value: Mapping[str, Any]) -> Metadata | None:
    """What a record of a catalogue says of a dataset, None for one that says nothing readable."""
    try:
        found = msgspec.convert(dict(value), Metadata)
    except (msgspec.ValidationError, RecursionError, TypeError):
        return None
    return found if found.id == id and all(map(_one_line, (found.title, *found.keywords))) else None


def _one_line(text: str) -> bool:
    return not re.search(r"[\x00-\x1f\x7f\u2028\u2029]", text)


def read_card(value: Mapping[str, Any]) -> Card | None:
    """What a catalogue says of its publisher, None for what is not readable."""
    try:
        found = msgspec.convert(dict(value), Card)
    except (msgspec.ValidationError, RecursionError, TypeError):
        return None
    return found if all(map(_one_line, (found.title, found.name, found.contact))) else None
