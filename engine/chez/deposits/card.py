"""An organisation's card: who it is, by which key its deposits are known, and where acknowledgements go.

    chez-organisation: base64url of MessagePack [1, name, contact, domain, key, sealing, relay, inbox, put, signature],
                       and behind it the statements by which `key` succeeds former ones, if there are any

`key` signs deposits and the card itself; acknowledgements are sealed to `sealing` and put into `inbox` at `relay` by
whoever holds the seed `put`, which is in every card and so no secret. The card proves that whoever made it holds
`key`, and nothing of who that is: the words of the key (`Organisation.words`) are what people compare. With a new key
an organisation goes on at the addresses that it was given, as far as each key signed the next one (`chez.succession`).
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from chez import crypto
from chez.crypto import SigningKey
from chez.errors import InvalidValue
from chez.spaces.texts import from_text, to_text
from chez.succession import MAX_CHAIN, Succession, check_chain
from chez_wire.limits import MAX_TEXT

__all__ = ("MAX_CARD", "Organisation", "make_card", "read_card")

SCHEME: Final = "chez-organisation"
_CONTEXT: Final = "chez/1 organisation card"

MAX_CARD: Final = 6144
"""Characters of a card's text, with the longest lines and all statements: it comes with messages."""

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]
Line = Annotated[str, Meta(min_length=1, max_length=128)]


class Organisation(msgspec.Struct, array_like=True, frozen=True, tag=1, forbid_unknown_fields=True):
    """What an organisation says of itself; see the module."""

    name: Line
    contact: Line
    domain: Line
    key: Id
    sealing: Id
    relay: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    inbox: Id
    put: Id
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]
    formerly: Annotated[tuple[Succession, ...], Meta(max_length=MAX_CHAIN)] = ()

    def __repr__(self) -> str:
        return f"<the card of {self.name!r}>"

    @property
    def text(self) -> str:
        """The card as it is handed over; `read_card` reads it."""
        return to_text(SCHEME, _array(self))

    @property
    def words(self) -> str:
        """The six words of its key, by which people know it again."""
        from chez.spaces.safety import words_of  # the list of words takes its time

        return words_of("chez/1 organisation words", self.key)

    @property
    def writer(self) -> SigningKey:
        """What puts acknowledgements into its inbox."""
        return SigningKey.from_seed(self.put)


def make_card(signing: SigningKey, *, name: str, contact: str, domain: str, sealing: bytes, relay: str, inbox: bytes,
              put: bytes, formerly: tuple[Succession, ...] = ()) -> Organisation:
    """The card of who holds `signing`, which `formerly` led to.

    Raises `InvalidValue` for a name, contact or domain that can't be one.
    """
    for what, line in (("name", name), ("contact", contact), ("domain", domain)):
        _check_line(what, line)
    check_chain("organisation", formerly, signing.public)
    card = Organisation(name, contact, domain, signing.public, sealing, relay, inbox, put, bytes(64), formerly)
    return msgspec.structs.replace(card, signature=signing.sign(_CONTEXT, _said(card)))


def read_card(text: str) -> Organisation:
    """The card that a text is. Raises `InvalidValue`, also for one that its key did not sign."""
    card = from_text(SCHEME, text, Organisation, "an organisation's card")
    for what, line in (("name", card.name), ("contact", card.contact), ("domain", card.domain)):
        _check_line(what, line)
    try:
        crypto.verify(card.key, card.signature, _CONTEXT, _said(card))
    except crypto.CryptoFailed:
        raise InvalidValue("this card is not signed by its own key", "Ask the organisation for it again.") from None
    check_chain("organisation", card.formerly, card.key)
    return card


def _array(card: Organisation) -> tuple[object, ...]:
    every = (1, *msgspec.structs.astuple(card))
    return every if card.formerly else every[:-1]


def _said(card: Organisation) -> bytes:
    return msgspec.msgpack.encode(_array(msgspec.structs.replace(card, signature=bytes(64))))


def _check_line(what: str, line: str) -> None:
    # It is shown on the screen where a person says yes: nothing in it may look like another line, or hide.
    if not 1 <= len(line) <= 128 or not line.isprintable() or line != line.strip():
        raise InvalidValue(f"{line[:64]!r} can't be an organisation's {what}", "Use 1 to 128 printable characters.")
