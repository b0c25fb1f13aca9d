"""docs/protocol.md and the code describe one protocol (tests/relay/test_answers.py: its answers too)."""

import re
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec
import pytest
from msgspec import Meta, inspect

from chez_relay.bounds import MAX_FRAGMENTS, MAX_PASSING, MAX_REQUEST, MAX_WAITING_BYTES, MAX_WAITING_FRAMES
from chez_relay.errors import Code
from chez_relay.limits import Limits
from chez_relay.storage import Quotas
from chez_wire import envelope, fields, limits
from chez_wire.packets import PACKET_COST
from tests.vectors.make_frames import hashes
from tests.wire.page import KINDS, PAGE, clause, paragraph, section

_UNITS: Final = {"": 1, "byte": 1, "bytes": 1, "second": 1, "seconds": 1, "KiB": 2**10, "MiB": 2**20, "days": 86_400}
_AMOUNT: Final = r"\d[\d,]*(?:\^\d+)?(?: (?:KiB|MiB|days|bytes?|seconds?)\b)?"
_NUMBER: Final = rf"{_AMOUNT}(?: - {_AMOUNT})?"
_BOUNDS: Final = re.compile(rf"(?:(?P<low>{_NUMBER}) to|at most) (?P<high>{_NUMBER})|(?P<just>{_NUMBER})")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_frame_is_on_the_page(kind: type[msgspec.Struct]) -> None:
    """Each frame has a heading with its number, and its section names every field in order."""
    assert f"### {kind.__name__} ({kind.__struct_config__.tag})\n" in PAGE
    places = [section(kind).find(f"`{field}`") for field in kind.__struct_fields__]
    assert -1 not in places and places == sorted(places)


def test_the_page_names_no_other_frame() -> None:
    """Each frame heading of the page is a frame of the code."""
    headings = re.findall(r"^### (\w+) \((\d+)\)$", PAGE, re.MULTILINE)
    assert {(kind.__name__, str(kind.__struct_config__.tag)) for kind in KINDS} == set(headings)


def test_every_code_is_on_the_page() -> None:
    """The table of codes lists exactly the codes a relay can answer with."""
    table = PAGE.split("## Codes")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(Code)


def test_what_is_signed_is_on_the_page() -> None:
    """Each message has a line with its purpose and as many fields as the code signs, and no other line is there."""
    lines = PAGE.split("**What is signed.**")[1].split("\n\nA signature is worthless")[0].split("\n- ")[1:]
    told = {}
    for line in lines:
        purpose, *named = re.split(", | and ", line.partition("\n")[0].partition(": `")[2])
        told[purpose.rstrip("`")] = len(named)
    signed = [parts(bytes.fromhex(message)) for name, message in hashes().items() if name.endswith("_message")]
    assert told == {purpose.decode(): len(rest) for purpose, *rest in signed}


def parts(message: bytes) -> list[bytes]:
    """The fields of a message that is signed, each behind its length."""
    out = []
    while message:
        end = 4 + int.from_bytes(message[:4], "big")
        out.append(message[4:end])
        message = message[end:]
    return out


# --- limits -----------------------------------------------------------------------------

Bounds = tuple[int, int | None]

COMMON: Final = {
    "Ids, handles, keys, nonces and heads are": fields.Id,
    "signatures": fields.Signature,
    "text has": fields.Text,
    "refs are": fields.Ref,
    "offsets and numbers of items": fields.Offset,
    "the ends of a range": Annotated[int, Meta(ge=1, le=2**62)],
    "credit and the limit of a page": fields.Bytes,
}
"""How the common rules begin to say what the fields of many frames may be."""


def bounds(of: object) -> Bounds | None:
    """What a field's length or value may be, None where only its type matters."""
    info = of if isinstance(of, inspect.Type) else inspect.type_info(of)
    match info:
        case inspect.BytesType() | inspect.StrType() | inspect.ListType():
            if (info.min_length, info.max_length) == (None, None):
                return None
            return info.min_length or 0, info.max_length
        case inspect.IntType():
            if (info.ge, info.gt, info.le, info.lt) == (None, None, None, None):
                return None
            assert info.gt is None
            return info.ge or 0, info.le if info.lt is None else info.lt - 1
        case inspect.Metadata():
            return bounds(info.type)
        case _:
            return None


def bounded(kind: type[msgspec.Struct]) -> Iterator[tuple[str, Bounds]]:
    """The fields of a frame, and of what it lists, that have bounds of their own."""
    common = [bounds(one) for one in COMMON.values()]
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    for one in info.fields:
        found = bounds(one.type)
        if found is not None and found not in common:
            yield one.encode_name, found
        if isinstance(one.type, inspect.ListType) and isinstance(one.type.item_type, inspect.StructType):
            yield from bounded(one.type.item_type.cls)


def number(text: str) -> int:
    """`1 MiB - 4 KiB`, `2^62` or `65,536` as a number."""
    amount, _, less = text.partition(" - ")
    digits, _, unit = amount.partition(" ")
    base, _, power = digits.replace(",", "").partition("^")
    return int(base) ** int(power or 1) * _UNITS[unit] - (number(less) if less else 0)


def said(text: str) -> Bounds:
    """The first bounds that a text names."""
    found = _BOUNDS.search(text)
    assert found is not None, text
    if found["just"]:
        return number(found["just"]), number(found["just"])
    high = found["high"]
    low = found["low"] or "0"
    return number(low if " " in low or " " not in high or low == "0" else f"{low} {high.split()[1]}"), number(high)


FIELDS: Final = [(kind, name, found) for kind in KINDS for name, found in bounded(kind)]


@pytest.mark.parametrize("start", COMMON)
def test_the_common_rules_tell_the_bounds_of_common_fields(start: str) -> None:
    """They stand in one paragraph, each behind what it is about."""
    assert said(paragraph("Common rules").split(f"{start} ")[1]) == bounds(COMMON[start])


@pytest.mark.parametrize(("kind", "name", "found"), FIELDS, ids=[f"{kind.__name__}.{name}" for kind, name, _ in FIELDS])
def test_the_page_tells_the_bounds_of_each_field(kind: type[msgspec.Struct], name: str, found: Bounds) -> None:
    """Behind its name, or in the paragraph on packets: what the decoder holds it to."""
    if name == "packets":
        assert said(paragraph("Packets").split("one table of ")[1]) == found
    elif name == "box":
        assert said(paragraph("Packets").split("to the member and has ")[1]) == found
    else:
        assert said(clause(section(kind), name)) == found


def size(count: int) -> str:
    """Bytes, as the page says them."""
    for unit in ("MiB", "KiB"):
        if count % _UNITS[unit] == 0:
            return f"{count // _UNITS[unit]} {unit}"
    return f"{count} bytes"


_RELAY: Final = Limits()
_SENTENCES: Final = (
    f"A frame has at most {size(limits.MAX_FRAME)};",
    f"header of {envelope.HEADER_BYTES} bytes",
    f"At most {limits.MAX_SPACES_PER_CONNECTION} spaces and inboxes are open on one connection.",
    f"`too_many` | {limits.MAX_SPACES_PER_CONNECTION} spaces and inboxes are open on the connection",
    f"packets count with the data, {PACKET_COST} bytes each.",
    f"the sum stays at most {size(limits.MAX_CREDIT)}",
    f"at most `limit` and {size(limits.MAX_PAGE)} of envelopes",
    f"At most {Quotas().inbox_items} items wait",
    f"`full` | {Quotas().inbox_items} items wait",
    f"an inbox takes {_RELAY.puts_burst_per_inbox:.0f} at once and then {_RELAY.puts_rate_per_inbox:.0f} a second",
    f"{_RELAY.puts_burst_per_inbox_and_address:.0f} and {_RELAY.puts_rate_per_inbox_and_address:.0f} of these from one",
    f"may ask {_RELAY.packets_burst:.0f} times at once and then {_RELAY.packets_rate:.0f} times a second",
    f"{size(_RELAY.kept_bytes)} in all, {size(_RELAY.kept_bytes_per_address)} for an address",
    f"({_RELAY.ephemeral_burst:.0f} at once, then {_RELAY.ephemeral_rate:.0f} a second for a connection;",
    f"behind with by {size(MAX_PASSING)}.",
    f"more than {size(MAX_WAITING_BYTES)} or {MAX_WAITING_FRAMES} frames behind an Open",
    f"sends more than {size(MAX_REQUEST)} before there is a websocket",
    f"no `Hello` within {_RELAY.hello:.0f} s",
    f"no ping within {_RELAY.ping_timeout:.0f} s",
    f"what waits for it for {_RELAY.stall:.0f} s",
    f"within {_RELAY.frame:.0f} s a frame",
    f"more than {MAX_FRAGMENTS} websocket fragments",
    f"at most {_RELAY.places_per_address:,} spaces and inboxes are held open from one",
)


@pytest.mark.parametrize("sentence", _SENTENCES)
def test_numbers_in_sentences_are_those_of_the_code(sentence: str) -> None:
    """What no field's type holds: sums, rates and times."""
    assert sentence in PAGE


def test_times_and_multiples_in_words_are_those_of_the_code() -> None:
    """An address may so many times what a connection may; a week and a day are that."""
    assert (_RELAY.packets_burst_per_address, _RELAY.packets_rate_per_address) == (
        4 * _RELAY.packets_burst, 4 * _RELAY.packets_rate) and "an address four times as much" in PAGE
    assert (_RELAY.ephemeral_burst_per_address, _RELAY.ephemeral_rate_per_address) == (
        16 * _RELAY.ephemeral_burst, 16 * _RELAY.ephemeral_rate) and "sixteen times as much for an address" in PAGE
    assert Quotas().grace == 7 * 86_400 and "(a week; the setting `quotas.grace`)" in PAGE
    assert _RELAY.kept_seconds == 86_400 and "and a day after the last connection" in PAGE
