"""What a space's machine asks of a connection that it shares with other spaces.

Requests go straight into the session, which orders them, and the channel notes that the
answers are its space's. Claims wait until all spaces that are to be opened have said theirs
(`chez.sync.lanes`): they leave together.
"""

from collections.abc import Sequence

from chez.crypto import SigningKey
from chez.sync.requests import Rotation
from chez.sync.sealed import Cursor
from chez.sync.session import Claim, ClientSession, Dropping
from chez_wire.frames import SealedPacket
from chez_wire.login import Role

__all__ = ("Channel",)


class Channel:
    """One space's way to the relay; see `ClientSession` for what each request does.

    `asked` has, for all spaces of the connection, whose answer a ref is.
    """

    def __init__(self, session: ClientSession, asked: "dict[int, Channel]") -> None:
        self._session = session
        self._asked = asked
        self._subscription = 0
        self._tickets = 0
        self.claims: list[Claim] = []
        """The roles that are to be opened next."""
        self.opened: list[Claim] = []
        """The roles that were to be opened last."""
        self.cursor: Cursor | None = None
        """How far the space was read: it is followed again from there in one go, where the relay keeps it."""
        self.wanted = 0
        """How many bytes of it may be under way then."""

    def open(self, claims: Sequence[Claim], cursor: Cursor | None, credit: int) -> int:
        """Prove roles, together with what other spaces prove -> `SpacesOpened`, under the number returned.

        Or, if the relay keeps the space -> `SpaceResumed`: it is followed already, from `cursor` on, and
        `credit` bytes may be under way.
        """
        self.claims, self.cursor, self.wanted = list(claims), cursor, credit
        self.opened = self.claims
        self._tickets -= 1  # refs of the connection's own are positive
        return self._tickets

    def again(self) -> None:
        """The roles that were to be opened last are to be opened, under the same number."""
        self.claims = self.opened

    @property
    def ticket(self) -> int:
        """The number of what was asked to be opened last."""
        return self._tickets

    def create_space(self, admin: SigningKey, recovery_key: bytes, read_key: bytes, append_key: bytes,
                     control_key: bytes, token: str = "", packets: Sequence[SealedPacket] = ()) -> int:
        """Create the space -> `Completed`."""
        return self._note(self._session.create_space(admin, recovery_key, read_key, append_key, control_key,
                                                     token, packets))

    def rotate(self, handle: bytes, signer: SigningKey, rotation: Rotation) -> int:
        """Replace the space's keys and packets at the relay -> `Completed`."""
        return self._note(self._session.rotate(handle, signer, rotation))

    def get_packet(self, handle: bytes, tag: bytes) -> int:
        """Get the packet under a tag of the space -> `PacketArrived`."""
        return self._note(self._session.get_packet(handle, tag))

    def drop(self, handle: bytes, admin: SigningKey, dropping: Dropping) -> int:
        """Drop entries that a checkpoint stands for -> `Completed`."""
        return self._note(self._session.drop(handle, admin, dropping))

    def put_chunk(self, handle: bytes, data: bytes) -> int:
        """Store a segment -> `Completed`."""
        return self._note(self._session.put_chunk(handle, data))

    def get_chunk(self, handle: bytes, chunk: bytes) -> int:
        """Get a segment -> `ChunkArrived`."""
        return self._note(self._session.get_chunk(handle, chunk))

    def has_chunks(self, handle: bytes, chunks: Sequence[bytes]) -> int:
        """Ask which segments are there -> `ChunksFound`."""
        return self._note(self._session.has_chunks(handle, chunks))

    def append(self, handle: bytes, role: Role, envelope: bytes, id: bytes) -> int:
        """Append one sealed entry, by its envelope's id -> `AppendDone`."""
        return self._note(self._session.append(handle, role, envelope, id))

    def subscribe(self, handle: bytes, after: int, credit: int, *, head: bytes | None = None) -> int:
        """Follow the space from an offset -> `EntriesArrived`, at once and as they come."""
        self._asked.pop(self._subscription, None)
        self._subscription = self._note(self._session.subscribe(handle, after, credit, head=head))
        return self._subscription

    def resumed(self, ref: int) -> None:
        """The space is followed again, under this ref."""
        self._asked.pop(self._subscription, None)
        self._subscription = self._note(ref)

    def broadcast(self, handle: bytes, message: bytes, to: bytes) -> None:
        """Have a sealed ephemeral message passed on."""
        self._session.broadcast(handle, message, to)

    def credit(self, handle: bytes, credit: int) -> None:
        """Allow more bytes on the subscription."""
        self._session.credit(handle, credit)

    def _note(self, ref: int) -> int:
        self._asked[ref] = self
        return ref
