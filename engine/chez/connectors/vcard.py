"""Address books in vCard 2.1 (versit), 3.0 (RFC 2426) and 4.0 (RFC 6350), one card at a time and a card line by line.

What the versions write differently is taken as found, whatever version a card claims, because programs mix
them: parameters without names, quoted-printable text with soft breaks, escapes, dates. A property that can't be read
costs itself. Photographs, logos, sounds and keys are passed over, and so is a card inside a card (`AGENT`).

What the file does not say, and how it is settled here:

- A card without `UID` is told by its name and its mail addresses; without these by its name and its numbers, or else
  where it says that they live. So exports by services that give no ids merge, and two people of one name stay two.
- A card without `FN` is called by its name's parts, else by its organisation, its nickname or its first address.
- A birthday without a year has no place in the vocabulary; Apple writes it in the year 1604. It is left out.
"""

import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import BinaryIO, Final

import msgspec

from chez.connectors.api import MAX_YEAR, MIN_YEAR, Found, Item, Progress, Reject, Source, excerpt
from chez.connectors.content_lines import ContentLine, content_lines, decoded, parts, plain_text
from chez.errors import InvalidValue
from chez.vocabulary import Contact

__all__ = ("VCard",)

BEGINNING: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,256}BEGIN:VCARD\s", re.I)
DAY: Final = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:$|[T ])", re.ASCII)
YEARLESS: Final = re.compile(r"--\d\d-?\d\d|1604-?\d\d-?\d\d|\d{4}(?:-\d\d)?|---?\d\d|T\d+", re.ASCII)
TEXTS: Final = frozenset({"FN", "NICKNAME", "TITLE", "ROLE", "UID", "NOTE", "EMAIL", "TEL", "URL"})
PARTED: Final = frozenset({"N", "ORG", "ADR"})
OTHERS: Final = frozenset({"CATEGORIES", "BDAY", "REV"})
READ: Final = TEXTS | PARTED | OTHERS
BINARY: Final = frozenset({"PHOTO", "LOGO", "SOUND", "KEY"})
MAX_CARD: Final = 40 * 1024
"""Characters of what is read of one card; longer notes are cut, and count as that."""
MAX_TEXT: Final = 8 * 1024


@dataclass(slots=True)
class _Card:
    """The card that is being read: of each property the values so far, the preferred ones apart."""

    line: int
    preferred: dict[str, list[str]] = field(default_factory=dict)
    others: dict[str, list[str]] = field(default_factory=dict)
    nested: int = 0
    last: str = ""
    size: int = 0
    birthday: date | None = None
    updated: datetime | None = None

    def all(self, name: str) -> list[str]:
        """The values of a property, the preferred ones first, each once."""
        return list(dict.fromkeys((*self.preferred.get(name, ()), *self.others.get(name, ()))))

    def first(self, *names: str) -> str:
        """The first value of the first of these properties that has one."""
        return next((value for name in names for value in self.all(name)), "")


class VCard:
    """Reads address books into contacts."""

    name = "vcard"
    version = 2
    title = "vCard 2.1 to 4.0 (.vcf)"
    types = (Contact,)
    example = (b"BEGIN:VCARD\r\nVERSION:2.1\r\nFN;ENCODING=QUOTED-PRINTABLE:=C9=\r\nt\xe9\r\nTEL;CELL:1\r\n"
               b"BDAY:1980-01-31\r\nREV:20240131T000000Z\r\nEND:VCARD\r\n")

    def recognise(self, head: bytes, name: str) -> bool:
        """A card begins with the file."""
        return BEGINNING.match(head) is not None

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """One `Contact` for each card. Raises `InvalidValue` when there is none in the file."""
        card: _Card | None = None
        seen = False
        for line in content_lines(file, soft=True):
            if isinstance(line, Progress):
                yield line
                continue
            begins, ends = line.name == "BEGIN" and _is_card(line), line.name == "END" and _is_card(line)
            if card is not None and begins and card.last != "AGENT":
                yield _lost(card, "the card has no end (END:VCARD)")
                card = None
            if card is None:
                if begins:
                    seen, card = True, _Card(line.number)
                elif ends:
                    yield Reject(line.number, "a card ends here and begins nowhere: it is not read", "")
            elif ends and not card.nested:
                yield _made(card)
                card = None
            elif begins or ends or card.nested:
                card.nested += begins - ends
            else:
                yield from _take(card, line)
        if card is not None:
            yield _lost(card, "the file ends inside the card")
        if not seen:
            raise InvalidValue(f"{source.name!r} holds no card", "Export the address book again.")


def _is_card(line: ContentLine) -> bool:
    return line.value.strip().upper() == "VCARD"


def _take(card: _Card, line: ContentLine) -> Iterator[Reject]:
    """Go on with one property of a card."""
    if not line.name and card.last in BINARY:
        return  # lines of base 64 that were not folded
    card.last = line.name
    if line.name and line.name not in READ:
        return
    try:
        if line.problem:
            raise ValueError(line.problem)
        _keep(card, line)
    except (ValueError, OverflowError) as error:
        yield Reject(line.number, str(error), excerpt(line.value))


def _keep(card: _Card, line: ContentLine) -> None:
    parameters = line.parameters()
    quoted = "QUOTED-PRINTABLE" in (value.upper() for values in parameters.values() for value in values)
    if line.name == "BDAY":
        card.birthday = _day(_text(line.value, quoted))
        return
    if line.name == "REV":
        card.updated = _instant(_text(line.value, quoted))
        return
    value = _value(line, quoted)[:MAX_TEXT]
    if not value:
        return
    card.size += len(value)
    preferred = parameters.get("PREF") == ["1"] or "PREF" in (one.upper() for one in parameters.get("TYPE", ()))
    if card.size <= MAX_CARD:
        (card.preferred if preferred else card.others).setdefault(line.name, []).append(value)


def _value(line: ContentLine, quoted: bool) -> str:
    """One text of a property: for those with parts, their parts one a line."""
    if line.name in PARTED:
        split = [_quoted(part).strip() for part in line.value.split(";")] if quoted else parts(line.value, ";")
        if line.name == "N":
            return "\n".join(part.replace("\n", " ") for part in (*split, "", "")[:3]) if any(split) else ""
        return (", " if line.name == "ORG" else "\n").join(filter(None, split))
    if line.name == "CATEGORIES":
        return "\n".join(filter(None, parts(_text(line.value, True) if quoted else line.value, ",")))
    text = _text(line.value, quoted)
    if line.name == "TEL" and text[:4].lower() == "tel:":
        return text[4:].strip()
    return text[7:].strip() if line.name == "EMAIL" and text[:7].lower() == "mailto:" else text


def _text(value: str, quoted: bool) -> str:
    return _quoted(value).strip() if quoted else plain_text(value)


def _quoted(value: str) -> str:
    return decoded(binascii.a2b_qp(value.encode("utf-8", "replace"))).replace("\r\n", "\n")


def _day(text: str) -> date | None:
    """A day of birth; None when its year is not known."""
    if not text or YEARLESS.fullmatch(text):
        return None
    found = DAY.match(text)
    if found is None:
        raise ValueError("the birthday is no date")
    try:
        return _bounded(date(int(found[1]), int(found[2]), int(found[3])))
    except ValueError as error:
        raise ValueError(str(error) if "between" in str(error) else "the birthday: there is no such day") from None


def _instant(text: str) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        _bounded(at.date())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except ValueError:
        raise ValueError("the time of the last change (REV) can't be") from None


def _bounded(day: date) -> date:
    if not MIN_YEAR <= day.year < MAX_YEAR:
        raise ValueError(f"the year is not between {MIN_YEAR} and {MAX_YEAR}")
    return day


def _made(card: _Card) -> Item:
    family, given, more = [*card.first("N").split("\n"), "", ""][:3]
    name = card.first("FN") or " ".join(filter(None, (given, more, family))) or card.first(
        "ORG", "NICKNAME", "EMAIL", "TEL")
    if card.size > MAX_CARD:
        return _lost(card, f"the card is longer than {MAX_CARD} characters")
    if not name:
        return _lost(card, "the card names nobody")
    emails, phones, addresses = card.all("EMAIL"), card.all("TEL"), card.all("ADR")
    return Found(Contact(
        uid=card.first("UID")[:512] or _hash(name, emails or phones or addresses), name=name,
        given=" ".join(filter(None, (given, more))), family=family, organisation=card.first("ORG"),
        title=card.first("TITLE", "ROLE"), emails=emails, phones=phones, addresses=addresses,
        links=card.all("URL"), birthday=card.birthday, note="\n".join(card.all("NOTE")),
        groups=[one for line in card.all("CATEGORIES") for one in line.split("\n")], updated=card.updated), card.line)


def _lost(card: _Card, why: str) -> Reject:
    return Reject(card.line, why, excerpt(card.first("FN", "N", "EMAIL")))


def _hash(name: str, addresses: list[str]) -> str:
    said = msgspec.json.encode([name, sorted(one.lower() for one in addresses)])
    return f"row:{hashlib.blake2b(said, digest_size=16).hexdigest()}"
