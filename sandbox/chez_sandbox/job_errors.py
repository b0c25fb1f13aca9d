"""Every error of jobs that Chez raises on purpose (the sandbox's own are in `errors`).

    InvalidValue
    ├── ManifestInvalid   a manifest.toml is not one; names each field that is wrong, and its line
    └── SchemaInvalid     a result schema is open, or can't be counted; names the field
    Untrusted
    ├── BundleInvalid     a bundle fails its checks
    │   ├── BundleTooLarge    more bytes than a bundle may have
    │   ├── BundleMalformed   not a bundle of this format, or with bytes to spare
    │   ├── BundleUnsigned    the signature is missing
    │   └── BundleForged      the signature is not the provider's over these bytes
    ├── ResultRefused     what a job wants to hand out does not fit its schema
    ├── GrantInvalid      a stored grant fails its checks
    ├── CatalogueInvalid  a provider's catalogue fails its checks
    │   └── CatalogueForked   its provider signed two lines under one number
    ├── TransferRefused   a share of allowance is not for this device, or not its giver's
    └── MessageInvalid    a message in a provider's inbox is no release
    Unavailable
    └── HookFailed        where results are handed on to does not take one
    NotAllowed
    ├── VersionWentBack   an older version, or other bytes under the same version
    ├── AlreadyAnswered   the provider has a result over this window
    ├── GrantEnded        revoked, expired, used up, or another device's
    ├── GrantPaused       the person paused it
    └── BudgetSpent       an account has less left than is to be debited

Each carries `message` and `hint` like every `ChezError`; those about a field, its `path`.
"""

import msgspec

from chez.errors import InvalidValue, NotAllowed, Unavailable, Untrusted

__all__ = (
    "AlreadyAnswered",
    "BudgetSpent",
    "BundleForged",
    "BundleInvalid",
    "BundleMalformed",
    "BundleTooLarge",
    "BundleUnsigned",
    "CatalogueForked",
    "CatalogueInvalid",
    "GrantEnded",
    "GrantInvalid",
    "GrantPaused",
    "HookFailed",
    "ManifestInvalid",
    "MessageInvalid",
    "Problem",
    "ResultRefused",
    "SchemaInvalid",
    "TransferRefused",
    "VersionWentBack",
)


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong with a manifest: the field, what, what to do; and where it stands, if that is known."""

    path: str
    """The field as people write it ("reads[0].fields"); empty for the whole text."""
    problem: str
    hint: str = ""
    line: int = 0
    """From 1; 0 when there is no one place."""
    column: int = 0
    where: tuple[str | int, ...] = ()
    """The path's parts, for whoever looks up its place."""

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}: " if self.line else ""
        said = f"{place}{self.path}: {self.problem}" if self.path else f"{place}{self.problem}"
        return f"{said} ({self.hint})" if self.hint else said


class ManifestInvalid(InvalidValue):
    """A manifest is not valid; `problems` has all that was found, in the text's order, at least one.

    `path` names the field of the first ("reads[0].fields").
    """

    def __init__(self, *problems: Problem) -> None:
        first = problems[0]
        self.problems = problems
        self.path = first.path
        if len(problems) == 1:
            alone = Problem(first.path, first.problem, line=first.line, column=first.column)
            super().__init__(f"manifest: {alone}", first.hint)
        else:
            lines = "".join(f"\n  {problem}" for problem in problems)
            super().__init__(f"manifest: {len(problems)} problems{lines}")


class SchemaInvalid(InvalidValue):
    """A result schema is not closed or can't be counted; `path` names the place in it.

    `others` are further ones of the same schema.
    """

    def __init__(self, path: str, problem: str, hint: str = "", others: tuple["SchemaInvalid", ...] = ()) -> None:
        self.path = path
        self.problem = problem
        self.others = others
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


class CatalogueInvalid(Untrusted):
    """A provider's catalogue is not one chain of its signed lines, or offers other bundles than these name."""


class CatalogueForked(CatalogueInvalid):
    """The provider signed two lines under one number: others may be shown another version."""


class TransferRefused(Untrusted):
    """A share of allowance is not one for this device, or not what its giver signed first."""


class HookFailed(Unavailable):
    """A hook did not answer that it took a result; the result stays at the relay and in the file."""


class VersionWentBack(NotAllowed):
    """The provider's version is older than one granted before, or the same with other bytes."""


class GrantEnded(NotAllowed):
    """The grant is revoked, past its day, used up, or bound to another device."""


class AlreadyAnswered(NotAllowed):
    """The provider was told a result over this window under this grant: it is not computed again."""


class GrantPaused(NotAllowed):
    """The person paused the grant; it runs again when they resume it."""

    recoverable = True


class BudgetSpent(NotAllowed):
    """An account has less left on this device than is to be debited.

    `account` names it, `lacks` is what is missing, in thousandths; `shared` is whether other devices may have it.
    """

    def __init__(
        self, message: str, hint: str = "", *, account: str = "", lacks: int = 0, shared: bool = False
    ) -> None:
        super().__init__(message, hint)
        self.account = account
        self.lacks = lacks
        self.shared = shared
