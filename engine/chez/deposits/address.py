"""A deposit address: what a person gives one organisation, so that it can leave records and do nothing else.

    root     H(key "chez/1 deposit address" of an epoch's secret of the person's private space; nonce): so each device
             of the person has it, from the address's record alone, and nobody else
    of root  signing   the address's own key: it signs the address and the acknowledgements. No key of a device or the
                       person is in an address, so that two organisations can't find that they have one person
             sealing   deposits are sealed to it
             inbox     takes deposits at the relay
             put       what puts them there: in the address, and the one secret in it
    text     chez-deposit: base64url of MessagePack [1, key, sealing, inbox, put, relay, pins, label, types,
             records, bytes, acknowledged, until, organisation, signature]

Whoever holds the text may fill the inbox, and can't write a record: each message is signed by the organisation's
key, which the address names (`organisation`), or which the person allows when the first message came. The words of the
address (`Address.words`) are what both sides compare when they doubt the way it took.
"""

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from chez import crypto
from chez.crypto import SealingKey, SigningKey
from chez.deposits.types import MAX_TYPES, RecordType, check_types
from chez.errors import InvalidValue
from chez.keys.epochs import Epoch
from chez.spaces.texts import from_text, to_text
from chez_wire.limits import MAX_TEXT
from chez_wire.login import inbox_of
from chez_wire.pins import MAX_PINS, PinHash, hashes, pins_from

__all__ = ("Address", "AddressKeys", "Quota", "Terms", "address_words", "kept_address", "read_address", "sign_address")

SCHEME: Final = "chez-deposit"
_CONTEXT: Final = "chez/1 deposit address"

MOST_RECORDS: Final = 1_000_000
MOST_BYTES: Final = 1 << 30

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Quota(msgspec.Struct, frozen=True):
    """What one address takes a day (UTC, by the device's clock): records, and bytes of what they say."""

    records: int = 10_000
    bytes: int = 16 * 1024 * 1024

    def check(self) -> None:
        """Raises `InvalidValue`."""
        if not 1 <= self.records <= MOST_RECORDS or not 1024 <= self.bytes <= MOST_BYTES:
            raise InvalidValue(f"an address takes 1 to {MOST_RECORDS:,} records a day, and 1 KiB to "
                               f"{MOST_BYTES >> 30} GiB")


class Terms(msgspec.Struct, frozen=True):
    """What an address says beside its keys; `until` in Unix milliseconds, `organisation` its key or empty."""

    label: str
    relay: str
    pins: tuple[str, ...]
    types: tuple[RecordType, ...]
    quota: Quota
    acknowledged: bool
    until: int
    organisation: bytes


@dataclass(frozen=True, slots=True, repr=False)
class AddressKeys:
    """What the person's devices know of an address."""

    signing: SigningKey
    sealing: SealingKey
    inbox: SigningKey
    put: SigningKey

    @classmethod
    def derive(cls, epoch: Epoch, nonce: bytes) -> "AddressKeys":
        """From an epoch of the person's private space, and the nonce in the address's record."""
        root = crypto.keyed_hash(crypto.derive(epoch.secret, "chez/1 deposit address"), "chez/1 deposit address", nonce)
        return cls(SigningKey.from_seed(crypto.derive(root, "chez/1 deposit signing")),
                   SealingKey.from_seed(crypto.derive(root, "chez/1 deposit sealing")),
                   SigningKey.from_seed(crypto.derive(root, "chez/1 deposit inbox")),
                   SigningKey.from_seed(crypto.derive(root, "chez/1 deposit put")))

    @property
    def id(self) -> bytes:
        """The address's id: its public key (32 bytes)."""
        return self.signing.public


class _Type(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    collection: str
    identity: tuple[str, ...]
    fields: dict[str, str]


class Address(msgspec.Struct, array_like=True, frozen=True, tag=1, forbid_unknown_fields=True):
    """An address as the organisation has it; `read_address` gives one whose signature holds."""

    key: Id
    sealing: Id
    inbox: Id
    put: Id
    relay: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    pin_hashes: Annotated[tuple[PinHash, ...], Meta(max_length=MAX_PINS)]
    label: Annotated[str, Meta(min_length=1, max_length=128)]
    said_types: Annotated[tuple[_Type, ...], Meta(min_length=1, max_length=MAX_TYPES)]
    most_records: Annotated[int, Meta(ge=1, le=MOST_RECORDS)]
    most_bytes: Annotated[int, Meta(ge=1024, le=MOST_BYTES)]
    acknowledged: bool
    until: Annotated[int, Meta(ge=0, lt=2**53)]
    organisation: Annotated[bytes, Meta(max_length=32)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]

    def __repr__(self) -> str:
        return f"<deposit address {self.key.hex()[:12]}>"

    @property
    def text(self) -> str:
        """The address as it is handed over: it holds what lets its holder fill the inbox."""
        return to_text(SCHEME, self)

    @property
    def types(self) -> tuple[RecordType, ...]:
        """The types of records that it takes. Raises `InvalidValue` for what describes none."""
        try:
            return check_types(msgspec.convert([msgspec.structs.asdict(one) for one in self.said_types],
                                               list[RecordType]))
        except msgspec.ValidationError as error:
            raise InvalidValue(f"the address describes no type of record: {error}") from None

    @property
    def quota(self) -> Quota:
        """What it takes a day."""
        return Quota(self.most_records, self.most_bytes)

    @property
    def pins(self) -> tuple[str, ...]:
        """The pins of its relay's key."""
        return pins_from(self.pin_hashes)

    @property
    def writer(self) -> SigningKey:
        """What puts deposits into its inbox."""
        return SigningKey.from_seed(self.put)

    @property
    def words(self) -> str:
        """The six words of its key: the person sees the same."""
        return address_words(self.key)


def address_words(key: bytes) -> str:
    """The six words of an address, by its id."""
    from chez.spaces.safety import words_of  # the list of words takes its time

    return words_of("chez/1 deposit address words", key)


def sign_address(keys: AddressKeys, terms: Terms) -> Address:
    """The address of these keys and terms: the same bytes on each device of the person."""
    # Sorted: a record gives the fields back in another order on another device.
    types = tuple(_Type(one.collection, one.identity, dict(sorted(one.fields.items()))) for one in terms.types)
    address = Address(
        keys.id, keys.sealing.public, inbox_of(keys.inbox.public), keys.put.seed, terms.relay,
        hashes(terms.pins), terms.label, types, terms.quota.records, terms.quota.bytes, terms.acknowledged, terms.until,
        terms.organisation, bytes(64))
    return msgspec.structs.replace(address, signature=keys.signing.sign(_CONTEXT, _said(address)))


def read_address(text: str) -> Address:
    """The address that a text is. Raises `InvalidValue`, also where anything in it was changed."""
    address = kept_address(text)
    if len(address.organisation) not in (0, 32):
        raise InvalidValue("this deposit address names an organisation by what is no key")
    if not address.label.isprintable():
        raise InvalidValue("this deposit address has a name that can't be shown")
    address.types  # noqa: B018 - refused here rather than at the first record
    return address


def kept_address(text: str) -> Address:
    """An address that was read once, and kept: `types` raises for those that are refused since, and nothing else does.

    So what one customer's address may not have any more keeps nothing from the others. Raises `InvalidValue` for what
    is no address.
    """
    address = from_text(SCHEME, text, Address, "a deposit address")
    try:
        crypto.verify(address.key, address.signature, _CONTEXT, _said(address))
    except crypto.CryptoFailed:
        raise InvalidValue("this deposit address was changed on its way: its signature does not hold",
                           "Ask the person for it again.") from None
    return address


def _said(address: Address) -> bytes:
    return msgspec.msgpack.encode(msgspec.structs.replace(address, signature=bytes(64)))

