"""A grant: what the person signed of one job, and whether a record holds it.

Its signature and its bundle are checked each time, and that it says nothing which nobody could have granted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, Literal

import msgspec

from chez.crypto import CryptoFailed, hash_fields, verify
from chez.errors import InvalidValue, NotAllowed
from chez_sandbox.bundle import Bundle, open_bundle
from chez_sandbox.consent.catalogue import figure, refused
from chez_sandbox.consent.narrowing import WHOLE, Narrowing, narrow
from chez_sandbox.consent.pauses import standing
from chez_sandbox.consent.slots import Slots
from chez_sandbox.job_errors import BundleInvalid, GrantEnded, GrantInvalid, GrantPaused, ManifestInvalid

__all__ = ("CONTEXT", "MAX_HOLD", "MAX_STORED_BUNDLE", "SEED", "Grant", "Granted", "Review", "State", "read_grant",
           "require_fitting", "require_readable")

CONTEXT: Final = "grant"
SEED: Final = "chez/1 grant seed"
SEED_BYTES: Final = 32
_SIGNED: Final = f"chez/1 application {CONTEXT}"
"""What `Home.sign` makes of the context."""

MAX_STORED_BUNDLE: Final = 512 * 1024
"""Bytes of a bundle that is kept in its grant's record: it must fit one change."""

Review = Literal["show-me-first", "within-the-grant", "hold"]
"""Whether the person sees each result first, lets them leave, or lets them leave if not withdrawn for some hours."""

MAX_HOLD: Final = 24 * 30
"""Hours that a result may be held at most."""

State = Literal["running", "revoked", "elsewhere", "ended", "used-up", "paused"]
"""What a grant is worth on a device: "running" may run there now; "elsewhere" is bound to another device."""


class Grant(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What the person signed. Ids and hashes are hexadecimal text."""

    version: Literal[1]
    id: str
    """16 random bytes."""
    job: str
    job_version: int
    provider: str
    """The provider's signing key."""
    bundle: str
    """Hash of the bundle: manifest (parameters included), code and signature."""
    code: str
    device: str
    """The one device that runs it."""
    granted: str
    """RFC 3339 time."""
    until: str
    """The last day on which it may run, RFC 3339 full-date."""
    runs: int
    bits: float
    review: Review
    seed_hash: bytes
    """Hash of the grant's seed (`Granted.seed`). What is signed is handed to others, the seed never."""
    slots: Slots
    """At which times messages leave."""
    hold_hours: int
    """For the review "hold": for how many hours a message stays, and may be withdrawn; else 0."""
    narrowed: Narrowing = WHOLE
    """What the person took away from what the job asks for."""
    epsilon: float = 0.0
    """How much all values that are noised may tell of one row, over all windows; 0 where nothing is noised."""

    @property
    def body(self) -> bytes:
        """The bytes that the device signed."""
        return msgspec.msgpack.encode(self)

    @property
    def hash(self) -> bytes:
        """What its receipt and its messages name it by: the hash of its body, which nobody can guess (`seed_hash`)."""
        return hash_fields(CONTEXT, self.body)


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant whose signature and bundle were checked; made by `grants.grant_job` and `read_grant`."""

    grant: Grant
    bundle: Bundle
    revoked: bool
    seed: bytes = field(repr=False)
    """32 random bytes: the job's random numbers follow from it and the run's number, the slots from it alone."""
    pauses: frozenset[str] = frozenset()
    """The ids of the pauses that stand: it runs when there is none."""

    def state(self, device: bytes, today: date, done: int) -> State:
        """What the grant is worth on a device today, after `done` runs."""
        if self.revoked:
            return "revoked"
        if today.isoformat() > self.grant.until:
            return "ended"
        if self.grant.device != device.hex():
            return "elsewhere"
        if done >= self.grant.runs:
            return "used-up"
        return "paused" if self.pauses else "running"

    def require_running(self, device: bytes, today: date, done: int) -> None:
        """Raise `GrantEnded` or `GrantPaused` unless this device may run it today, after `done` runs."""
        match self.state(device, today, done):
            case "revoked":
                raise refused(GrantEnded, "revoked")
            case "elsewhere":
                raise refused(GrantEnded, "elsewhere")
            case "ended":
                raise refused(GrantEnded, "ended", until=self.grant.until)
            case "used-up":
                raise refused(GrantEnded, "used-up", runs=self.grant.runs)
            case "paused":
                raise refused(GrantPaused, "paused", grant=self.grant.id[:8])


def require_fitting(
    bundle: Bundle, runs: int | None, bits: float | None, epsilon: float | None, review: Review, hold_hours: int
) -> None:
    """Raise `InvalidValue`, `NotAllowed` unless the person may grant this; None stands for all that is asked for.

    That is what the manifest asks for or less, hours of hold that fit the review, and what can be stored.
    """
    manifest, asked = bundle.manifest, bundle.manifest.budget
    runs, bits = asked.runs if runs is None else runs, asked.bits if bits is None else bits
    if not 1 <= runs <= asked.runs or not manifest.schema.bits <= bits <= asked.bits:
        least = figure(manifest.schema.bits, ".2f")
        raise refused(InvalidValue, "too-much", runs=asked.runs, bits=figure(asked.bits), least=least)
    most = asked.epsilon or 0.0
    if not manifest.epsilon <= (most if epsilon is None else epsilon) <= most:
        raise refused(InvalidValue, "epsilon", epsilon=figure(most), least=figure(manifest.epsilon))
    if not (1 <= hold_hours <= MAX_HOLD if review == "hold" else hold_hours == 0):
        raise refused(InvalidValue, "hold", hours=hold_hours, review=review, most=MAX_HOLD)
    if len(bundle.encoded) > MAX_STORED_BUNDLE:
        raise refused(NotAllowed, "bundle-size", bytes=len(bundle.encoded), most=MAX_STORED_BUNDLE)


def require_readable(grant: Grant, bundle: Bundle, seed: bytes) -> None:
    """Raise `InvalidValue` for a grant that would not be read back: consent that could never be used, nor told."""
    try:
        # As it is read: a number of runs that is no whole one, a time that is none, another word for a review.
        msgspec.msgpack.decode(grant.body, type=Grant)
        if len(seed) != SEED_BYTES:
            raise ValueError("it is guessed")
        _require_givable(grant, bundle)
    except (GrantInvalid, TypeError, ValueError, msgspec.MsgspecError):
        raise InvalidValue("a grant has an id of 16 random bytes, a seed of 32, an RFC 3339 time, a day, and whole "
                           "numbers of runs and hours", "See `chez_sandbox.consent.grants.grant_job`.") from None


def read_grant(id: str, value: Mapping[str, Any], revoked: bool, paused: frozenset[str]) -> Granted:
    """The grant of a record; `revoked` and `paused` (ids of pauses) are what the journal here says.

    Raises `GrantInvalid` when record, signature or bundle were changed.
    """
    try:
        body, signature, encoded, seed = value["body"], value["signature"], value["bundle"], value["seed"]
        grant = msgspec.msgpack.decode(body, type=Grant)
        verify(bytes.fromhex(grant.device), signature, _SIGNED, body)
        bundle, seed_hash = open_bundle(encoded), hash_fields(SEED, seed)
    except (CryptoFailed, BundleInvalid, ManifestInvalid) as error:
        raise refused(GrantInvalid, "unverified", grant=id[:8], problem=str(error)) from None
    except (KeyError, TypeError, ValueError, msgspec.DecodeError):
        raise refused(GrantInvalid, "unreadable", grant=id[:8]) from None
    if grant.body != body or grant.seed_hash != seed_hash:
        raise refused(GrantInvalid, "unreadable", grant=id[:8])
    manifest = bundle.manifest
    job = bundle.hash.hex(), bundle.code_hash.hex(), manifest.id, manifest.version, manifest.provider.signing_key
    if (grant.id, grant.bundle, grant.code, grant.job, grant.job_version, grant.provider) != (id, *job):
        raise refused(GrantInvalid, "another-job", grant=id[:8])
    _require_givable(grant, bundle)
    pauses = standing(id, bytes.fromhex(grant.device), value, paused)
    return Granted(grant, bundle, revoked or value.get("revoked") is not False, seed, pauses)


def _require_givable(grant: Grant, bundle: Bundle) -> None:
    """Raise `GrantInvalid` for a grant that nobody could have given: whatever key signed it, it is one bad record."""
    try:
        if bytes.fromhex(grant.id).hex() != grant.id or len(grant.id) != 32:
            raise ValueError("it names a file, too")
        date.fromisoformat(grant.until)
        datetime.fromisoformat(grant.granted).astimezone()  # one of the calendar wherever it is read
        narrow(bundle.manifest, grant.narrowed)
        require_fitting(bundle, grant.runs, grant.bits, grant.epsilon, grant.review, grant.hold_hours)
    except (InvalidValue, NotAllowed, OverflowError, ValueError):
        raise refused(GrantInvalid, "unreadable", grant=grant.id[:8]) from None
