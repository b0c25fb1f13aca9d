"""Cards and space links: what one writes another reads, and whatever a stranger hands over is refused in words."""

import base64
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.errors import InvalidValue
from chez.spaces.card import Card
from chez.spaces.link import SpaceLink
from chez.spaces.statements import RenameDevice, Signed, sign_statement
from chez.spaces.texts import from_text, to_text
from tests.parsers.mutations import MESSAGEPACK, attempt, bytes_like
from tests.spaces.people import Person, begin
from tests.tries import tries

ANNA = Person("Anna")


@st.composite
def logs(draw: st.DrawFn) -> list[Signed]:
    """All that a person with one to three devices may have said of them, in an order that they came in."""
    enrol = ANNA.enrol()
    log = [enrol, ANNA.certify([enrol.hash], 0, ANNA.root)]
    for number in range(1, draw(st.integers(1, 3))):
        log.append(ANNA.certify([log[-1].hash], number, ANNA.devices[draw(st.integers(0, number - 1))].signing))
    for name in draw(st.lists(st.text("abc", min_size=1, max_size=3), max_size=3)):
        log.append(sign_statement(RenameDevice(ANNA.id, [log[-1].hash], ANNA.devices[0].id, ANNA.devices[0].id, name),
                                  ANNA.devices[0].signing))
    return log


def data_of(text: str) -> bytes:
    """What a card or link says, as bytes."""
    body = text.partition(":")[2]
    return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))


def text_of(scheme: str, data: bytes) -> str:
    """The card or link that says this."""
    return f"{scheme}:{base64.urlsafe_b64encode(data).rstrip(b'=').decode()}"


CARD = Card.of(ANNA.id, [ANNA.enrol(), ANNA.certify([ANNA.enrol().hash], 0, ANNA.root)])
LINK = SpaceLink(bytes(range(32)), bytes(32), "wss://relay.example", "Trip to Rome")


@given(logs(), st.data())
@settings(max_examples=tries(30), deadline=None)
def test_a_card_is_read_as_it_was_written(log: list[Signed], data: st.DataObject) -> None:
    """Whatever a person said of its devices, its card says the same, also when it comes broken into lines."""
    card = Card.of(ANNA.id, log)
    text = card.text
    places = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=4)))
    broken = "\n ".join(text[a:b] for a, b in pairwise([0, *places, len(text)]))
    assert Card.read(broken) == card == Card.of(card.person, card.statements)
    assert card.name == "Anna" and len(card.devices) == len({s.body.device for s in log if hasattr(s.body, "device")})


@given(bytes_like([data_of(CARD.text)], MESSAGEPACK))
@settings(max_examples=tries(150), deadline=None)
def test_what_is_no_card_is_refused(data: bytes) -> None:
    """A card that was changed anywhere is refused, unless it still says the same."""
    text = text_of("chez-card", data)
    if attempt(Card.read, text, InvalidValue):
        assert Card.read(text) == CARD


@given(bytes_like([data_of(LINK.text)], MESSAGEPACK))
@settings(max_examples=tries(100), deadline=None)
def test_what_is_no_link_is_refused(data: bytes) -> None:
    """A link is read or refused, whatever it says."""
    text = text_of("chez-space", data)
    if attempt(SpaceLink.read, text, InvalidValue):
        assert SpaceLink.read(SpaceLink.read(text).text) == SpaceLink.read(text)


@given(st.text(max_size=60))
@settings(max_examples=tries(100), deadline=None)
def test_any_text_is_refused(text: str) -> None:
    """Text of any kind is no card and no link, and the answer says so."""
    for read in (Card.read, SpaceLink.read):
        for prefix in ("", "chez-card:", "chez-space:"):
            with pytest.raises(InvalidValue):
                read(prefix + text)


def test_a_link_is_read_as_it_was_written() -> None:
    """A space link says where its space is, and names what else it was given for a card."""
    assert SpaceLink.read(LINK.text) == LINK
    with pytest.raises(InvalidValue, match="chez-card"):
        SpaceLink.read(CARD.text)
    with pytest.raises(InvalidValue, match="too long"):
        Card.read("chez-card:" + "A" * (1 << 20))


def test_a_card_that_proves_nothing_is_refused() -> None:
    """Statements of another person, about a space, twice, out of order or without a device make no card."""
    enrol, certify, create = begin(ANNA)
    berta = Person("Berta")
    gone = ANNA.expel([certify.hash], ANNA.devices[0].id, ANNA.root)
    for person, log in ((berta.id, [enrol, certify]), (ANNA.id, [enrol, certify, create]), (ANNA.id, [certify]),
                        (ANNA.id, [certify, enrol]), (ANNA.id, [enrol, enrol, certify]), (ANNA.id, [enrol]),
                        (ANNA.id, []), (ANNA.id, [enrol, certify, berta.enrol()]), (ANNA.id, [enrol, certify, gone])):
        with pytest.raises(InvalidValue):
            Card.of(person, log)
    forged = msgspec.msgpack.encode([1, ANNA.id, [enrol.raw[:-1] + bytes([enrol.raw[-1] ^ 1]), certify.raw]])
    with pytest.raises(InvalidValue, match="forged"):
        Card.read(text_of("chez-card", forged))


def test_a_card_has_no_secret() -> None:
    """No key that a person's devices hold is in its card, nor in what the card shows of itself."""
    said = data_of(CARD.text)
    for device in ANNA.devices:
        assert device.signing.seed not in said
    assert ANNA.root.seed not in said
    assert CARD.statements[0].raw.hex() not in repr(CARD)


def test_texts_are_of_one_scheme() -> None:
    """What is written as text is read as what it is, and as nothing else."""
    class Form(msgspec.Struct, array_like=True):
        number: int

    assert from_text("chez-x", to_text("chez-x", Form(7)), Form, "a number") == Form(7)
    for text in ("", ":", "chez-x", "chez-x:", "chez-x:%%", "chez-y:kQc", "CHEZ-X:kQc"):
        with pytest.raises(InvalidValue):
            from_text("chez-x", text, Form, "a number")
