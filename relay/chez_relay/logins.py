"""The logins of one `Open`: each claim proves one role, and is answered by itself."""

from chez_relay import verify
from chez_relay.errors import Code
from chez_relay.roles import OpenRoles, credential
from chez_relay.signed import Signatures
from chez_relay.storage import Gone, InboxInfo, Refused, SpaceInfo
from chez_wire.envelope import GENESIS_HEAD
from chez_wire.frames import Claim, OpenedSpace
from chez_wire.login import Role, login_message

__all__ = ("outcome",)


def outcome(claim: Claim, known: SpaceInfo | InboxInfo | Gone | Refused | None, roles: OpenRoles,
            by: Signatures) -> OpenedSpace:
    """What comes of a claim, given what is `known` of its space or inbox: the role is open, or why it is not."""

    def told(error: str, offset: int = 0, head: bytes = GENESIS_HEAD) -> OpenedSpace:
        return OpenedSpace(claim.handle, claim.role, error, offset, head)

    if isinstance(known, Refused):
        return told(known.code)
    if known is None or isinstance(known, Gone):
        return told(Code.UNKNOWN if known is None else Code.DELETED)
    key = credential(known, claim.role)
    message = login_message(by.relay, by.client_nonce, by.relay_nonce, claim.handle, claim.role)
    if key is None or not verify.signed_by(key, claim.signature, message):
        return told(Code.DENIED)
    if not roles.open(claim.handle, known, claim.role, key):
        return told(Code.TOO_MANY)
    # A writer that may not read learns nothing of the log, not even how long it is.
    if isinstance(known, SpaceInfo) and claim.role is Role.READ:
        return told("", known.offset, known.head)
    return told("")
