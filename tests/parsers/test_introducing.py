"""Invitations by a code: whatever a stranger, a relay, or a guest with the right code sends, ends in `BadPairing`."""

import msgspec
import pytest
from hypothesis import given, settings

from chez.errors import BadPairing, InvalidValue, NotAllowed
from chez.spaces.card import Card
from chez.sync.codes import Secrets, mailbox
from chez.sync.introducing import Guest, Host
from chez.sync.pairing import OldDevice
from tests.parsers.mutations import MESSAGEPACK, attempt, bytes_like
from tests.spaces.people import Person
from tests.tries import tries
from tests.vectors.fixed import LAPTOP, filled
from tests.vectors.golden import golden
from tests.vectors.make_invitations import CARD, CODE, guest, host

HELLO, REPLY, WELCOME, REFUSED = (bytes.fromhex(golden("invitations")["code"][name])
                                  for name in ("hello", "reply", "welcome", "refused"))
_, SHARE, CONFIRM_B, BOX = msgspec.msgpack.decode(REPLY)
_, CONFIRM_A, _ = msgspec.msgpack.decode(WELCOME)


def answered() -> tuple[Guest, Secrets]:
    """A guest that has answered, and the keys it shares with the host."""
    made = guest()
    made.answer(HELLO)
    assert made._secrets is not None
    return made, made._secrets


INTRODUCTION = answered()[1].open(False, BOX)


def introduce(plain: bytes) -> Card:
    """What a guest with the right code may do: show anything."""
    return host().receive(msgspec.msgpack.encode([2, SHARE, CONFIRM_B, answered()[1].seal(False, plain)]))


def test_the_card_goes_one_way_and_the_link_the_other() -> None:
    """With the right code the host has the guest's card, and the guest the link, or that the host said no."""
    shows, types = host(), guest()
    assert shows.receive(types.answer(shows.hello)) == CARD
    assert types.welcome(shows.welcome("chez-space:AA")) == "chez-space:AA"
    with pytest.raises(NotAllowed):
        types.welcome(shows.refuse())


def test_a_wrong_code_burns_and_is_one_guess() -> None:
    """A guest with other words is refused, so is the right one afterwards; a host with other words gives nothing."""
    wrong = CODE.rsplit("-", 1)[0] + "-zoo"
    shows = host()
    with pytest.raises(BadPairing):
        shows.receive(Guest(wrong, CARD, LAPTOP, filled(1)).answer(shows.hello))
    with pytest.raises(BadPairing):
        shows.receive(guest().answer(shows.hello))
    with pytest.raises(BadPairing):
        host().welcome("chez-space:AA")
    other, types = Host(wrong, filled(2)), guest()
    types.answer(other.hello)
    with pytest.raises(BadPairing):
        types.welcome(WELCOME)


def test_a_code_of_one_purpose_is_worth_nothing_for_the_other() -> None:
    """A pairing and an invitation of the same code have other inboxes, and no keys in common."""
    assert mailbox(CODE, True)[1] != mailbox(CODE, True, "invitation")[1]
    with pytest.raises(BadPairing):
        OldDevice(CODE, filled(3), CARD.person).receive(REPLY)


def test_a_card_that_somebody_found_is_no_introduction() -> None:
    """With the right code, but no device of the card's person, nobody comes in by that card."""
    mallory = Person("mallory").devices[0]
    shows = host()
    with pytest.raises(BadPairing):
        shows.receive(Guest(CODE, CARD, mallory, filled(4)).answer(shows.hello))
    person, statements, _, _ = msgspec.msgpack.decode(INTRODUCTION)
    word = mallory.signing.sign("chez/1 invitation guest", msgspec.msgpack.decode(HELLO)[1], SHARE, person)
    for device in (mallory.id, LAPTOP.id):
        with pytest.raises(BadPairing):
            introduce(msgspec.msgpack.encode([person, statements, device, word]))


def test_a_card_too_long_is_said_before_anything_is_sent() -> None:
    """What does not fit into the inbox is an error of the guest's own."""
    person = Person("bob")
    statements = [person.enrol()]
    while sum(len(one.raw) for one in statements) < 64 * 1024:
        statements.append(person.certify([statements[-1].hash], 0, person.root))
    with pytest.raises(InvalidValue):
        Guest(CODE, Card.of(person.id, statements), person.devices[0], filled(5)).answer(HELLO)


@given(bytes_like([REPLY, HELLO, WELCOME], MESSAGEPACK))
@settings(max_examples=tries(40), deadline=None)
def test_the_host_takes_any_reply(message: bytes) -> None:
    """Any reply is a proof of the code or burns it."""
    attempt(host().receive, message, BadPairing)


@given(bytes_like([INTRODUCTION], MESSAGEPACK))
@settings(max_examples=tries(40), deadline=None)
def test_the_host_takes_any_introduction(plain: bytes) -> None:
    """So does a reply that proves the code and shows no card."""
    attempt(introduce, plain, BadPairing)


@given(bytes_like([HELLO, REPLY, WELCOME], MESSAGEPACK))
@settings(max_examples=tries(40), deadline=None)
def test_the_guest_takes_any_hello_and_welcome(message: bytes) -> None:
    """Any hello is answered or refused, any welcome is a link or refused."""
    attempt(guest().answer, message, BadPairing)
    attempt(answered()[0].welcome, message, BadPairing, NotAllowed)
