"""What is on its way to a relay, and how far one was read."""

from dataclasses import dataclass, field

from chez_wire.envelope import Header

__all__ = ("Cursor", "Sealed")


@dataclass(frozen=True, slots=True)
class Sealed:
    """An own entry, sealed for a relay and durable here, ready to be sent.

    `row` is its row among what is sealed, `entry` that of the entry.
    """

    row: int
    entry: int
    id: bytes
    envelope: bytes = field(repr=False)
    control: bool

    @property
    def epoch(self) -> bytes:
        """The epoch that it is sealed under."""
        return Header.decode(self.envelope).epoch


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a relay's log was read: the offset of the last entry and the head there."""

    position: int
    head: bytes
