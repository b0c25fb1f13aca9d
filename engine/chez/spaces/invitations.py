"""Invitations to whoever holds a link: what derives from what, what guest and owner say to each other, who gets in.

    root     H(key "chez/1 invitation" of an epoch's secret of the inviter's private space; space, nonce):
             so each device of that person has it, from the `Invite` alone, and nobody else
    seed     of the root: in the link. From it the key whose public half the `Invite` names, and the
             one that puts requests into the inbox
    sealing  of the root: requests are sealed to it. Guests who share a link can't read each other's
    inbox    of the root: takes the requests, at the relay of the space
    link     chez-invite: base64url of MessagePack [1, seed, sealing, inbox, space, relay, name, role, expires,
             pins]
    request  sealed box of: length (4 bytes), MessagePack [1, person, statements, device, reply, signature by the
             invitation's key, signature by the device], zeros up to a multiple of 4 KiB
    answer   nonce and XChaCha20-Poly1305 of: length (2 bytes), MessagePack [1, space link] or [2, reason], zeros up
             to 2 KiB; under a key derived from `reply`, a secret that the guest chose, as the inbox for it is

Both signatures are over (space, invitation's key, person, device, reply). The first proves the
link, the second that it is a device of the person who asks, and no one who found a card: so a
request can't be turned into another person's. Repeated, whoever repeats it, it leads to what it led to.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from chez import crypto
from chez.errors import BadEntry, InvalidValue
from chez.keys.device import DeviceKeys
from chez.keys.epochs import Epoch
from chez.spaces.card import Card
from chez.spaces.membership import Membership
from chez.spaces.state import State
from chez.spaces.statements import MAX_STATEMENT, Invite, Role, Signed
from chez.spaces.texts import from_text, to_text
from chez_wire.limits import MAX_INBOX_ITEM, MAX_TEXT
from chez_wire.login import inbox_of
from chez_wire.pins import MAX_PINS, PinHash, hashes, pins_from

__all__ = ("InviteKeys", "InviteLink", "Reason", "Refusal", "Reply", "Request", "Verdict", "Welcome", "judge",
           "keys_of", "open_request", "request_plain", "seal_request", "shown_card", "used")

SCHEME: Final = "chez-invite"
REQUEST_STEP: Final = 4096
ANSWER_PLAIN: Final = 2048

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]


# --- keys and the link -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class InviteKeys:
    """What the inviter's devices know of an invitation."""

    seed: bytes
    sealing: crypto.SealingKey
    inbox: crypto.SigningKey

    @classmethod
    def derive(cls, epoch: Epoch, space: bytes, nonce: bytes) -> "InviteKeys":
        """From an epoch of the inviter's private space, and what the invitation says of itself."""
        root = _root(epoch, space, nonce)
        return cls(_seed(root),
                   crypto.SealingKey.from_seed(crypto.derive(root, "chez/1 invitation sealing")),
                   crypto.SigningKey.from_seed(crypto.derive(root, "chez/1 invitation inbox")))

    @property
    def proof(self) -> crypto.SigningKey:
        """The invitation's key: who has the link signs with it."""
        return _proof(self.seed)

    @property
    def put(self) -> crypto.SigningKey:
        """What puts requests into the inbox."""
        return _put(self.seed)

    def link(self, invite: Invite, relay: str, name: str, pins: Iterable[str] = ()) -> "InviteLink":
        """The link to give away, with the pins that the inviter has for the relay."""
        return InviteLink(self.seed, self.sealing.public, inbox_of(self.inbox.public), invite.space, relay, name,
                          invite.role, invite.expires, hashes(pins))


def keys_of(epochs: Iterable[Epoch], invite: Invite) -> InviteKeys | None:
    """The keys of an invitation that a device with these epochs of its private space made; None for others'."""
    for epoch in sorted(epochs, key=lambda epoch: -epoch.number):
        if _proof(_seed(_root(epoch, invite.space, invite.nonce))).public == invite.key:
            return InviteKeys.derive(epoch, invite.space, invite.nonce)
    return None


def _root(epoch: Epoch, space: bytes, nonce: bytes) -> bytes:
    return crypto.keyed_hash(crypto.derive(epoch.secret, "chez/1 invitation"), "chez/1 invitation", space, nonce)


def _seed(root: bytes) -> bytes:
    return crypto.derive(root, "chez/1 invitation seed")


class InviteLink(msgspec.Struct, array_like=True, frozen=True, tag=1, forbid_unknown_fields=True):
    """What is given to whoever shall come in: a secret. `expires` in Unix milliseconds, by the inviter's clock."""

    seed: Id
    sealing: Id
    inbox: Id
    space: Id
    relay: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    name: Annotated[str, Meta(min_length=1, max_length=128)]
    role: Role
    expires: Annotated[int, Meta(ge=0, le=2**62)]
    relay_keys: Annotated[tuple[PinHash, ...], Meta(max_length=MAX_PINS)] = ()

    @property
    def pins(self) -> tuple[str, ...]:
        """The pins of the relay's key, as far as the inviter had any."""
        return pins_from(self.relay_keys)

    def __repr__(self) -> str:
        return f"<invitation to {self.name!r}>"

    @property
    def text(self) -> str:
        """The link as it is handed over; `InviteLink.read` reads it."""
        return to_text(SCHEME, self)

    @classmethod
    def read(cls, text: str) -> "InviteLink":
        """Raises `InvalidValue`."""
        return from_text(SCHEME, text, cls, "an invitation")

    @property
    def proof(self) -> crypto.SigningKey:
        """The invitation's key."""
        return _proof(self.seed)

    @property
    def put(self) -> crypto.SigningKey:
        """What puts requests into the inbox."""
        return _put(self.seed)


def _proof(seed: bytes) -> crypto.SigningKey:
    return crypto.SigningKey.from_seed(crypto.derive(seed, "chez/1 invitation proof"))


def _put(seed: bytes) -> crypto.SigningKey:
    return crypto.SigningKey.from_seed(crypto.derive(seed, "chez/1 invitation put"))


# --- what the guest says -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """The guest's inbox for the answer, and the key of the answer; `secret` is 32 bytes that nobody else knows."""

    secret: bytes

    @property
    def inbox(self) -> crypto.SigningKey:
        """What takes the answer."""
        return crypto.SigningKey.from_seed(crypto.derive(self.secret, "chez/1 invitation reply inbox"))

    @property
    def put(self) -> crypto.SigningKey:
        """What puts the answer there."""
        return crypto.SigningKey.from_seed(crypto.derive(self.secret, "chez/1 invitation reply put"))

    @property
    def _key(self) -> bytes:
        return crypto.derive(self.secret, "chez/1 invitation answer")

    def seal(self, answer: "Welcome | Refusal", nonce: bytes) -> bytes:
        """An answer for this guest alone; `nonce` is 24 fresh random bytes."""
        return nonce + crypto.encrypt(self._key, nonce, _padded(msgspec.msgpack.encode(answer), 2, ANSWER_PLAIN), b"")

    def open(self, box: bytes) -> "Welcome | Refusal":
        """Undo `seal`. Raises `BadEntry`: it is from nobody who could read the request."""
        try:
            plain = crypto.decrypt(self._key, box[:24], box[24:], b"")
            return msgspec.msgpack.decode(_unpadded(plain, 2), type=Welcome | Refusal)
        except (crypto.CryptoFailed, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadEntry("the answer to the invitation can't be read") from None


class _Form(msgspec.Struct, array_like=True, frozen=True, tag=1, forbid_unknown_fields=True):
    person: Id
    statements: Annotated[list[Annotated[bytes, Meta(max_length=MAX_STATEMENT + 128)]], Meta(min_length=1)]
    device: Id
    reply: Id
    proof: Signature
    signature: Signature


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks to be let in, with which device, and how it is answered; all signatures are checked."""

    card: Card
    device: bytes
    reply: Reply = field(repr=False)


def seal_request(link: InviteLink, card: Card, device: DeviceKeys, reply: Reply) -> bytes:
    """What a guest puts into the inbox. Raises `InvalidValue` for a card that is too long for it, and a forged link."""
    try:
        return crypto.seal_to(link.sealing, request_plain(link, card, device, reply))
    except crypto.CryptoFailed:  # everybody could read what is sealed to such a key
        raise InvalidValue(f"the invitation to {link.name!r} is damaged, or forged", "Ask for a new one.") from None


def request_plain(link: InviteLink, card: Card, device: DeviceKeys, reply: Reply) -> bytes:
    """The same before it is sealed."""
    fields = link.space, link.proof.public, card.person, device.id, reply.secret
    form = _Form(card.person, [statement.raw for statement in card.statements], device.id, reply.secret,
                 link.proof.sign("chez/1 invitation request", *fields),
                 device.signing.sign("chez/1 invitation request", *fields))
    data = msgspec.msgpack.encode(form)
    size = -(-(4 + len(data)) // REQUEST_STEP) * REQUEST_STEP
    if size + crypto.SEALED_BOX_OVERHEAD > MAX_INBOX_ITEM:
        raise InvalidValue("too much was said about your devices for an invitation by link",
                           "Give the owner your card instead: `chez card`.")
    return _padded(data, 4, size)


def open_request(box: bytes, keys: InviteKeys, space: bytes) -> Request:
    """Read and check what came into the inbox. Raises `BadEntry` for anything that is not to be answered."""
    try:
        form = msgspec.msgpack.decode(_unpadded(keys.sealing.open(box), 4), type=_Form)
        fields = space, keys.proof.public, form.person, form.device, form.reply
        crypto.verify(keys.proof.public, form.proof, "chez/1 invitation request", *fields)
        crypto.verify(form.device, form.signature, "chez/1 invitation request", *fields)
    except (crypto.CryptoFailed, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadEntry("what came by an invitation is no request, or not signed as it must be") from None
    return Request(shown_card(form.person, form.statements, form.device), form.device, Reply(form.reply))


def shown_card(person: bytes, statements: Iterable[bytes], device: bytes) -> Card:
    """The card that a device shows, which is its person's. Raises `BadEntry`."""
    try:
        card = Card.of(person, [Signed.read(raw) for raw in statements])
    except InvalidValue as error:
        raise BadEntry(f"who wants to be let in shows no card: {error.message}") from None
    about = Membership(bytes(32))
    about.add(card.statements)
    if not about.state.active(device):
        raise BadEntry("who wants to be let in is no device of the person whose card it shows")
    return card


# --- what the owner says --------------------------------------------------------------------


class Reason(enum.StrEnum):
    """Why somebody is not let in."""

    EXPIRED = "expired"
    USED = "used"
    REVOKED = "revoked"
    REMOVED = "removed"
    """The person was in the space before, and is not any more: an invitation brings nobody back."""


class Welcome(msgspec.Struct, array_like=True, frozen=True, tag=1, forbid_unknown_fields=True):
    """The guest is a member; `link` is the space link."""

    link: Annotated[str, Meta(max_length=ANSWER_PLAIN)]


class Refusal(msgspec.Struct, array_like=True, frozen=True, tag=2, forbid_unknown_fields=True):
    """The guest is not let in."""

    reason: Reason


class Verdict(enum.Enum):
    """A request is right: its person is to be let in, or is a member already."""

    ADMIT = enum.auto()
    AGAIN = enum.auto()


def judge(state: State, invite: Invite, hash: bytes, request: Request, now: int) -> Verdict | Reason:
    """What comes of a request, in the space as it is here; `now` in Unix milliseconds, `hash` names the `Invite`.

    A member is answered as it was when it was let in, however often it asks and whatever
    became of the invitation. Who was taken out, or left, does not come back by one.
    """
    person = request.card.person
    if request.device in state.expelled:
        return Reason.REMOVED  # its card is older than what is known here of its person
    if state.role(person) is not None:
        return Verdict.AGAIN
    if person in state.admissions:
        return Reason.REMOVED
    if hash not in state.invites or state.right(invite.issuer) is not Role.OWNER:
        return Reason.REVOKED
    if now >= invite.expires:
        return Reason.EXPIRED
    if used(state, hash) >= invite.uses:
        return Reason.USED
    return Verdict.ADMIT


def used(state: State, hash: bytes) -> int:
    """How many persons came by an invitation."""
    return sum(origin == hash.hex() for origin in state.origins.values())


def _padded(data: bytes, prefix: int, size: int) -> bytes:
    return (len(data).to_bytes(prefix, "big") + data).ljust(size, b"\0")


def _unpadded(plain: bytes, prefix: int) -> bytes:
    return plain[prefix : prefix + int.from_bytes(plain[:prefix], "big")]
