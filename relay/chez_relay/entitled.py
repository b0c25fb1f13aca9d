"""What a client asks for under a role that it opened: each frame becomes a request to the storage, or a refusal.

The request names the credential that proved the role, for a rotation may come before it.
"""

from dataclasses import dataclass

import msgspec

from chez_relay.allowances import May
from chez_relay.chunks import ChunkFrame, plan
from chez_relay.effects import Effect
from chez_relay.errors import Code
from chez_relay.lan.meeting import Meeting
from chez_relay.replies import done, entries, fail, refused, send
from chez_relay.roles import OpenRoles
from chez_relay.storage import (
    AddEntry,
    AddItem,
    DropItems,
    PacketData,
    Page,
    ReadPacket,
    ReadPage,
    ReadUsage,
    Result,
    SpaceUsage,
    Stored,
)
from chez_relay.subscriptions import Subscriptions
from chez_relay.tickets import Tickets
from chez_wire.envelope import entry_id, handle_in
from chez_wire.errors import EnvelopeError
from chez_wire.frames import (
    Ack,
    Append,
    Appended,
    GetChunk,
    GetPacket,
    GetUsage,
    Packet,
    Put,
    Read,
    Subscribe,
    Usage,
    Watch,
)
from chez_wire.limits import MAX_PAGE
from chez_wire.login import Role

__all__ = ("Entitled",)


@dataclass(frozen=True, slots=True)
class Entitled:
    """The frames of one connection that its open roles allow, and at a home's own relay what was proven there."""

    _roles: OpenRoles
    _tickets: Tickets
    _subscriptions: Subscriptions
    _may: May
    _meeting: Meeting | None = None

    def packet(self, frame: GetPacket) -> list[Effect]:
        """A packet of a space: who asks needs no role, so how often is held to a rate."""
        if not self._may.look_up():
            return fail(frame.ref, Code.TOO_OFTEN, "too many packets were asked for from here just now", retry=True)

        def then(result: Result) -> list[Effect]:
            if isinstance(result, PacketData):
                return [send(Packet(frame.ref, result.box))]
            return refused(frame.ref, result)

        return [self._tickets.ask(ReadPacket(frame.handle, frame.tag), then)]

    def append(self, frame: Append) -> list[Effect]:
        """One entry, under the role that it says."""
        under = self._roles.under(frame.handle, frame.role)
        if frame.role not in (Role.APPEND, Role.CONTROL) or under is None:
            return self._closed(frame.ref, frame.handle, "appending needs the role append or control, opened first")
        try:
            handle = handle_in(frame.envelope)
        except EnvelopeError as error:
            return fail(frame.ref, Code.BAD_ENTRY, str(error))
        if handle != frame.handle:
            return fail(frame.ref, Code.BAD_ENTRY, "the entry is sealed for another space")
        entry = entry_id(frame.envelope)
        request = AddEntry(frame.handle, entry, frame.envelope, frame.role is Role.CONTROL, under)
        return [self._tickets.ask(request, _Appending(frame.ref, frame.handle, entry, self._subscriptions))]

    def read(self, frame: Read) -> list[Effect]:
        """A page of a space."""
        under = self._roles.under(frame.handle, Role.READ)
        if under is None:
            return self._closed(frame.ref, frame.handle, "reading needs the role read, opened first")

        def then(result: Result) -> list[Effect]:
            if isinstance(result, Page):
                return [entries(frame.ref, frame.handle, result)]
            return refused(frame.ref, result)

        return [self._tickets.ask(ReadPage(frame.handle, frame.after, min(frame.limit, MAX_PAGE), under), then)]

    def put(self, frame: Put) -> list[Effect]:
        """An item into an inbox."""
        under = self._roles.under(frame.inbox, Role.PUT)
        if under is None:
            return self._closed(frame.ref, frame.inbox, "putting needs the role put, opened first")
        if not self._may.put(frame.inbox):
            return fail(frame.ref, Code.TOO_OFTEN, "too much was put into this inbox just now", retry=True)
        return [self._tickets.ask(AddItem(frame.inbox, frame.item, under), lambda r: done(frame.ref, r))]

    def chunk(self, frame: ChunkFrame) -> list[Effect]:
        """A chunk of an attachment, into a space, out of it, or whether it is there."""
        plans = plan(frame)
        under = self._roles.under(frame.handle, plans.role)
        if under is None and isinstance(frame, GetChunk) and self._meeting is not None:
            under = self._meeting.reader(frame.handle)
        if under is None:
            return self._closed(frame.ref, frame.handle, f"this needs the role {plans.role}, opened first")
        return [self._tickets.ask(plans.request(under), plans.then)]

    def usage(self, frame: GetUsage) -> list[Effect]:
        """How much room a space takes."""
        under = self._roles.under(frame.handle, Role.READ)
        if under is None:
            return self._closed(frame.ref, frame.handle, "asking this needs the role read, opened first")

        def then(result: Result) -> list[Effect]:
            if isinstance(result, SpaceUsage):
                return [send(Usage(frame.ref, result.entries, result.control, result.chunks))]
            return refused(frame.ref, result)

        return [self._tickets.ask(ReadUsage(frame.handle, under), then)]

    def ack(self, frame: Ack) -> list[Effect]:
        """Items that were taken."""
        if self._roles.under(frame.inbox, Role.TAKE) is None:
            return self._closed(frame.ref, frame.inbox, "acknowledging needs the role take, opened first")
        return [self._tickets.ask(DropItems(frame.inbox, frame.upto), lambda r: done(frame.ref, r))]

    def subscribe(self, frame: Subscribe) -> list[Effect]:
        """News of a space, from an offset on."""
        under = self._roles.under(frame.handle, Role.READ)
        if under is None:
            return self._closed(frame.ref, frame.handle, "subscribing needs the role read, opened first")
        return self._subscriptions.subscribe(frame, under)

    def watch(self, frame: Watch) -> list[Effect]:
        """News of an inbox, from a number on."""
        if self._roles.under(frame.inbox, Role.TAKE) is None:
            return self._closed(frame.ref, frame.inbox, "watching needs the role take, opened first")
        return self._subscriptions.watch(frame)

    def _closed(self, ref: int, name: bytes, message: str) -> list[Effect]:
        return fail(ref, self._roles.refusal(name), message)


class _Appending(msgspec.Struct, frozen=True):
    """Says what became of an entry: one object of each, where a function would be six."""

    ref: int
    handle: bytes
    entry: bytes
    subscriptions: Subscriptions

    def __call__(self, result: Result) -> list[Effect]:
        if isinstance(result, Stored):
            passed = self.subscriptions.passes(self.handle, result.offset) if result.fresh else 0
            return [send(Appended(self.ref, self.handle, self.entry, result.offset, result.head, passed))]
        return refused(self.ref, result)
