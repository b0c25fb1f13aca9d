"""Every error of jobs that Chez raises on purpose (the sandbox's own are in `errors`).

    InvalidValue
    ├── ManifestInvalid   a manifest.toml is not one; names the field
    └── SchemaInvalid     a result schema is open, or can't be counted; names the field
    Untrusted
    ├── BundleInvalid     a bundle fails its checks
    │   ├── BundleTooLarge    more bytes than a bundle may have
    │   ├── BundleMalformed   not a bundle of this format, or with bytes to spare
    │   ├── BundleUnsigned    the signature is missing
    │   └── BundleForged      the signature is not the provider's over these bytes
    ├── ResultRefused     what a job wants to hand out does not fit its schema
    ├── GrantInvalid      a stored grant fails its checks
    └── MessageInvalid    a message in a provider's inbox is no release
    NotAllowed
    ├── VersionWentBack   an older version, or other bytes under the same version
    ├── GrantEnded        revoked, expired, used up, or another device's
    └── BudgetSpent       the run could carry more bits than are left

Each carries `message` and `hint` like every `ChezError`; those about a field, its `path`.
"""

from chez.errors import InvalidValue, NotAllowed, Untrusted

__all__ = (
    "BudgetSpent",
    "BundleForged",
    "BundleInvalid",
    "BundleMalformed",
    "BundleTooLarge",
    "BundleUnsigned",
    "GrantEnded",
    "GrantInvalid",
    "ManifestInvalid",
    "MessageInvalid",
    "ResultRefused",
    "SchemaInvalid",
    "VersionWentBack",
)


class ManifestInvalid(InvalidValue):
    """A manifest is not valid; `path` names the field ("reads[0].fields")."""

    def __init__(self, path: str, problem: str, hint: str = "") -> None:
        self.path = path
        super().__init__(f"manifest: {path}: {problem}" if path else f"manifest: {problem}", hint)


class SchemaInvalid(InvalidValue):
    """A result schema is not closed or can't be counted; `path` names the place in it."""

    def __init__(self, path: str, problem: str, hint: str = "") -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}", hint)


class BundleInvalid(Untrusted):
    """A bundle fails its checks."""


class BundleTooLarge(BundleInvalid):
    """A bundle has more bytes than it may have."""


class BundleMalformed(BundleInvalid):
    """The bytes are not exactly one bundle of a known version."""


class BundleUnsigned(BundleInvalid):
    """The bundle's signature is missing."""


class BundleForged(BundleInvalid):
    """The signature is not the named provider's over exactly these bytes."""


class ResultRefused(Untrusted):
    """A result does not fit its schema; `path` names the place in it.

    The message names what was expected, never the value: it may be shown, not sent.
    """

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        super().__init__(f"{path}: {problem}", 'nothing of it leaves; the provider gets the code "none"')


class GrantInvalid(Untrusted):
    """A stored grant or its bundle was changed after it was signed."""


class MessageInvalid(Untrusted):
    """What lay in an inbox does not open, or is not one release of this format."""


class VersionWentBack(NotAllowed):
    """The provider's version is older than one granted before, or the same with other bytes."""


class GrantEnded(NotAllowed):
    """The grant is revoked, past its day, used up, or bound to another device."""


class BudgetSpent(NotAllowed):
    """An account has fewer bits left than the run could carry."""
