"""Every error that Chez raises on purpose.

    ChezError
    ├── Misuse                the caller's request can't be served as it stands
    │   ├── InvalidValue        a value, name or id is not allowed; names the field
    │   ├── MigrationFailed     an app's migration raised on a record, or made what can't be stored
    │   ├── NotFound            no such record, collection, grant, file
    │   └── NotAllowed          the person, a grant or a role does not permit it
    │       └── RecordPurged      a record of this id was purged, and stays so
    ├── Unavailable           the surroundings: try again, or change something outside
    │   ├── HomeMissing         there is no home at this path
    │   ├── HomeExists          there is one already
    │   ├── HomeBusy            another process owns it
    │   ├── HomeLocked          no passphrase was given and no owner runs, or it locked itself
    │   ├── KeyringUnavailable  the operating system's keyring is missing, locked or refuses
    │   ├── BlobMissing         an attachment is not on this device, and can't be fetched now
    │   ├── StorageFailed       disk full, read-only, unreadable
    │   ├── WallMissing         nothing on this system keeps foreign bytes apart as it must be
    │   ├── RelayUnreachable    no connection, or it broke
    │   │   └── NotARelay         something else answers there: a network's login page, a web server
    │   │       └── WrongPin        what answers there has a key that is none of those pinned
    │   ├── RelayRefused        the relay answered, with a refusal
    │   ├── SpaceFull           a public space that is followed takes all the room that it has on this device
    │   └── Unanswered          nobody answered yet: an owner's device is not in step with the relay
    └── Untrusted             bytes from outside, or from a damaged disk, fail a check
        ├── WrongPassphrase     the key file does not open with it
        ├── Damaged             a file of the home fails its checks
        ├── BadEntry            an entry fails its checks; it is set aside
        ├── BadArchive          an export or a backup is incomplete or was altered
        ├── ImportStopped       reading a file met a limit, or its process broke its word; what came before stays
        ├── BlobDamaged         an attachment, or a piece of it, fails its checks
        ├── HomeCopied          another copy of this home writes in its name
        ├── BadPairing          a pairing failed its proof; the code is burnt
        └── RelayMisbehaved     a relay withheld, reordered, forked or rolled back
            └── LockedOut         a relay has the person's space, and nothing that the 24 words open

Each carries `message` (what happened and why) and `hint` (what to do next). Neither
holds a key, a passphrase or content; both may be shown to a person.
"""

from typing import ClassVar

from chez.shown import brief

__all__ = (
    "BadArchive", "BadEntry", "BadPairing", "BlobDamaged", "BlobMissing", "ChezError", "Damaged", "HomeBusy",
    "HomeCopied", "HomeExists", "HomeLocked", "HomeMissing", "ImportStopped", "InvalidValue", "KeyringUnavailable",
    "LockedOut", "MigrationFailed", "Misuse", "NotARelay", "NotAllowed", "NotFound", "RecordPurged",
    "RelayMisbehaved", "RelayRefused", "RelayUnreachable", "SpaceFull", "StorageFailed", "Unanswered", "Unavailable",
    "Untrusted", "WallMissing", "WrongPassphrase", "WrongPin",
)


class ChezError(Exception):
    """The root of all errors of Chez; raised only through its subclasses.

    `message` says what happened and why, `hint` what to do next (it may be empty);
    `recoverable` tells whether the same call may succeed later unchanged. What a message quotes is shortened
    in the middle where it is too long to be read.
    """

    recoverable: ClassVar[bool] = False

    def __init__(self, message: str, hint: str = "") -> None:
        self.message: str = brief(message)
        self.hint: str = brief(hint)
        super().__init__(self.message, self.hint)

    @property
    def code(self) -> str:
        """The error's name for programs (`chez --json`, the owner's socket)."""
        return type(self).__name__

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class Misuse(ChezError):
    """The caller's request can't be served as it stands."""


class InvalidValue(Misuse):
    """A value, a name or an id is not allowed."""


class MigrationFailed(Misuse):
    """A record of an older version can't be brought to the app's."""


class NotFound(Misuse):
    """Nothing has this name or id."""


class NotAllowed(Misuse):
    """The person, a grant or a role does not permit it."""


class RecordPurged(NotAllowed):
    """A record of this id was purged: it never comes back."""


class Unavailable(ChezError):
    """Something outside the program is missing or busy."""

    recoverable = True


class HomeMissing(Unavailable):
    """There is no home at this path."""


class HomeExists(Unavailable):
    """There is a home at this path already."""


class HomeBusy(Unavailable):
    """Another process owns the home."""


class HomeLocked(Unavailable):
    """No owner runs and no passphrase was given, or the owner has locked itself."""


class KeyringUnavailable(Unavailable):
    """The operating system's keyring is not there, is locked, or refuses."""


class BlobMissing(Unavailable):
    """A piece of an attachment is not on this device, and can't be fetched now."""


class StorageFailed(Unavailable):
    """The disk is full, read-only or failing."""


class WallMissing(Unavailable):
    """Foreign bytes are read in a process that the system walls in, and here it can't."""


class RelayUnreachable(Unavailable):
    """There is no connection to the relay."""


class NotARelay(RelayUnreachable):
    """Something answers at the relay's address, and it is no relay."""


class WrongPin(NotARelay):
    """What answers at the relay's address has another key than those that it is pinned to; it was told nothing."""


class RelayRefused(Unavailable):
    """The relay answered with a refusal; `reason` is its code."""

    def __init__(self, message: str, hint: str = "", *, reason: str = "") -> None:
        super().__init__(message, hint)
        self.reason = reason


class SpaceFull(Unavailable):
    """A public space that is followed takes all the room that it has on this device; other spaces go on."""

    recoverable = False


class Unanswered(Unavailable):
    """Nobody answered yet; what was asked waits at the relay."""


class Untrusted(ChezError):
    """Bytes from outside, or from a damaged disk, fail a check."""


class WrongPassphrase(Untrusted):
    """The passphrase does not open the home."""


class Damaged(Untrusted):
    """A file of the home is damaged."""


class BadArchive(Untrusted):
    """An export or a backup is incomplete, or was altered."""


class ImportStopped(Untrusted):
    """Reading a file met a limit of time, memory or output, or its process broke its word. What came before stays."""


class BadEntry(Untrusted):
    """An entry fails its checks and is set aside."""


class BlobDamaged(Untrusted):
    """An attachment, or a piece of it, fails its checks."""


class HomeCopied(Untrusted):
    """Another copy of this home is in use, or was: both would write in one device's name."""


class BadPairing(Untrusted):
    """A pairing failed its proof; the code is burnt."""


class RelayMisbehaved(Untrusted):
    """A relay withheld, reordered, forked or rolled back what it had shown.

    `hearsay`: by another device's word, which may be the lie itself.
    """

    def __init__(self, message: str, hint: str = "", *, hearsay: bool = False) -> None:
        super().__init__(message, hint)
        self.hearsay = hearsay


class LockedOut(RelayMisbehaved):
    """A relay has a person's private space, and nothing there that the 24 words open."""
