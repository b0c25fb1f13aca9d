"""Who may do what at a relay on a network of its home: nothing, before a space in common is proven.

An ordinary relay has no `Acquaintances` and asks for no proof. With them a connection begins with
`Meet`; one that proves nothing ends, and is told nothing. From then on it is for the spaces that
it proved, and for these alone: it may make, open, write and read no other, and no inbox, so this
relay is storage for nobody else. It takes no pieces of attachments either: it reads those of its home (`pieces`).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from chez_relay.errors import Code
from chez_relay.signed import Signatures
from chez_relay.storage import Refused
from chez_wire.frames import ClientFrame, CreateInbox, CreateSpace, Keep, Meet, Met, Open, PutChunk, Resume
from chez_wire.limits import ID_BYTES
from chez_wire.login import handle_of
from chez_wire.meeting import PLAIN_CHANNEL, Proofs, Side, filled, found, meeting_proof

__all__ = ("Acquaintances", "Meeting")

_NOT_MET: Final = Refused(Code.STRANGER, "nothing that both sides keep was proven for this")


@dataclass(slots=True)
class Acquaintances:
    """Whom a relay serves: the meeting secrets of each space, by handle; `channel` stands for its certificate.

    `entropy` gives random bytes, `shared` what this relay's instance and another one have in common.
    """

    entropy: Callable[[int], bytes]
    channel: bytes = PLAIN_CHANNEL
    secrets: Mapping[bytes, Collection[bytes]] = field(default_factory=dict, repr=False)
    grace: float = 60.0
    """Seconds for who is here to fetch the keys that replaced those that it was met by."""
    shared: Callable[[bytes], bytes | None] = field(default=lambda instance: None, repr=False)
    changed: Callable[[], None] = lambda: None
    """Called when somebody was met, or left."""
    _here: "list[Meeting]" = field(default_factory=list)

    @property
    def instances(self) -> frozenset[bytes]:
        """What the relays of those who are here are announced as; zeros for who has none."""
        return frozenset(meeting.instance for meeting in self._here)

    def came(self, meeting: "Meeting") -> None:
        """Somebody was met."""
        self._here.append(meeting)
        self.changed()

    def left(self, meeting: "Meeting") -> None:
        """A connection ended, of somebody who was met or was not."""
        if meeting in self._here:
            self._here.remove(meeting)
            self.changed()


@dataclass(slots=True, eq=False)
class Meeting:
    """What one connection proved: the handles in `met`, under their secrets of then."""

    known: Acquaintances
    met: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    instance: bytes = bytes(ID_BYTES)
    """What the other side's relay is announced as; zeros for none, and where it proved none."""

    def meet(self, frame: Meet, by: Signatures, incarnation: bytes) -> Met | None:
        """The answer to a device's proofs; None for a stranger."""
        greeting = (by.relay, by.client_nonce, by.relay_nonce)
        self.met = found(self.known.secrets, Side.DIALLING, greeting, self.known.channel, frame.proofs)
        if not self.met:
            return None
        if self._is_own(frame.instance, greeting, frame.proofs):
            self.instance = frame.instance
        self.known.came(self)
        proofs = [meeting_proof(secret, Side.ANSWERING, *greeting, self.known.channel)
                  for secret in self.met.values()]
        return Met(incarnation, filled(proofs, self.known.entropy))

    def _is_own(self, instance: bytes, greeting: tuple[str, bytes, bytes], proofs: Proofs) -> bool:
        """Whether the other side proved that the instance it names is its own: any member may name another's, which
        this home would not dial then, for it seems to be here."""
        secret = self.known.shared(instance)
        return secret is not None and meeting_proof(secret, Side.DIALLING, *greeting, self.known.channel) in proofs

    def refusal(self, frame: ClientFrame) -> Refused | None:
        """Why a frame is refused, if it is not about what was proven."""
        match frame:
            case Open(claims=claims):
                allowed = all(claim.handle in self.met for claim in claims)
            case CreateSpace(admin_key=admin_key):
                allowed = handle_of(admin_key) in self.met
            case CreateInbox() | Keep() | Resume() | PutChunk():
                allowed = False
            case _:
                allowed = getattr(frame, "handle", None) in self.met
        return None if allowed else _NOT_MET

    def reader(self, handle: bytes) -> bytes | None:
        """What stands for the credential of who reads pieces of attachments: a space that was proven, and holds still.

        For the store may have nothing of the space yet, where a role could be opened.
        """
        return b"" if self.met.get(handle) in self.known.secrets.get(handle, ()) else None

    @property
    def gone(self) -> bool:
        """Whether a space that was proven is served no more."""
        return any(handle not in self.known.secrets for handle in self.met)

    @property
    def outdated(self) -> bool:
        """Whether a space was proven by a secret that it has no more."""
        return any(secret not in self.known.secrets.get(handle, ()) for handle, secret in self.met.items())
