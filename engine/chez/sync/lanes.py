"""The spaces that share one connection to a relay, each in a lane of its own, as a state machine.

A lane is a space's `SyncMachine` with what is to be done for it. The connection is opened
for all lanes at once (`chez.sync.opening`), so it takes as many round trips for a thousand
spaces as for one, and then the relay keeps what is followed for the next one. What arrives
goes to the lane that it is about.

A lane goes its own way: one that ends stops or rests (`sync.lane`), until `again`, and the others go on. Only what
concerns every space is raised: a relay that breaks the protocol, a store that fails, a home that was copied, or that
no lane is left to go on.

Work is handed out in passes (`take`). Of what a relay brings a lane has one turn in each
(`sync.arrivals`), which is bounded, so a space that brings gigabytes delays no other by more.
"""

from typing import Any

import msgspec

from chez.errors import ChezError, HomeCopied, RelayMisbehaved, RelayRefused, RelayUnreachable, StorageFailed
from chez.sync.channel import Channel
from chez.sync.events import (
    AppendDone,
    ChunkArrived,
    ChunksFound,
    Completed,
    EarlyArrived,
    EntriesArrived,
    EphemeralArrived,
    Event,
    PacketArrived,
    Refused,
    RolesEnded,
    SessionKept,
    SpacesOpened,
    SpacesResumed,
    Welcomed,
)
from chez.sync.keeping import Keeping
from chez.sync.lane import Job, Lane, State
from chez.sync.machine import SyncMachine
from chez.sync.opening import Opening
from chez.sync.replica import Replica
from chez.sync.sealed import Sealed
from chez.sync.session import ClientSession
from chez.sync.work import Phase, Progress

__all__ = ("Lanes",)


class Lanes:
    """The spaces of one connection; `relay` is the relay's row in the store.

    With `rests`, a lane that can't go on just now waits to be begun again; without, it stops.
    `keeping` is what the relay keeps of the connection before, if it is to keep anything. With `gathers`,
    acknowledgements wait until the shell lets them be noted (`gathered`).
    """

    def __init__(self, session: ClientSession, relay: int, *, rests: bool, keeping: Keeping | None = None,
                 gathers: bool = False) -> None:
        self._session = session
        self._relay = relay
        self._rests = rests
        self._gathers = gathers
        self._welcomed: Welcomed | None = None
        self._keeping = keeping
        self._opening = Opening(session, keeping)
        self._opened_more = False
        self._asked: dict[int, Channel] = {}
        self._lanes: dict[Channel, Lane] = {}
        self._former = Progress()  # what was done for spaces that were dropped since
        self.all: tuple[Lane, ...] = ()
        """Every lane, in the order they were added. Replaced, never changed: another thread reads it."""
        self.of: dict[bytes, Lane] = {}
        """Each lane by the id of its space."""
        self.found: set[int] = set()
        """The rows of the spaces that what came told of: for the shell to take out and open."""
        self.said: list[tuple[Replica, bytes, bytes]] = []
        """Ephemeral messages that came, sealed, and who they came from: for the shell to take out and hand on."""
        self.resting: list[Lane] = []
        """The lanes that began to rest: for the shell to take out, and to begin `again` after a while."""

    # --- what the shell tells -----------------------------------------------------------

    def add(self, replica: Replica) -> None:
        """Keep one more space in step; on a connection that stands it is opened now."""
        channel, machine = self._begin(replica, Progress())
        lane = self._lanes[channel] = self.of[replica.space.id] = Lane(replica, channel, machine)
        same = next((one for one in self.all if one.replica.space.handle == replica.space.handle), None)
        self.all = (*self.all, lane)
        for one in self.all:
            one.machine.share = len(self.all)
        if same is not None:
            # Answers name the handle alone. Whoever makes a space may give it that of another.
            self._end(lane, RelayRefused(f"the space goes by the same name at relays as {same.replica.space.name!r}",
                                         "One of the two was made to be confused with the other.", reason="handle"))
        elif self._welcomed is not None:
            self._greet(lane, self._welcomed)

    def drop(self, replica: Replica) -> None:
        """Keep a space in step no more; what still comes for it is nobody's."""
        lane = self.of.pop(replica.space.id, None)
        if lane is None:
            return
        self._former = Progress.together((self._former, lane.machine.progress.done))
        self.all = tuple(one for one in self.all if one is not lane)
        self._end(lane, RelayRefused("this space is on this device no more", reason="dropped"))
        for one in self.all:
            one.machine.share = len(self.all)

    def receive(self, message: bytes) -> None:
        """One websocket message. Raises `RelayMisbehaved`, and when no lane is left, what the first one ended with."""
        for event in self._session.receive(message):
            self._event(event)
        self._check()

    def listen(self, now: float, carried: int) -> None:
        """Give up, for a while, spaces of which the relay was asked something and says nothing. Raises as `receive`.

        To be called now and then; `now` is in seconds, of a clock that does not go back; `carried` is as for `Silence`.
        """
        for lane in self.all:
            if lane.silence.over(now, asked=lane.asks, heard=lane.heard, carried=carried):
                self._end(lane, RelayUnreachable("the relay was asked about this space, and does not answer",
                                                 "It is asked again."))
        self._check()

    def sealed(self, lane: Lane, machine: SyncMachine, sealed: list[Sealed]) -> None:
        """Own entries of a lane were sealed and are durable; a machine that came after finds them in the store."""
        if lane.machine is machine and lane.state is State.LIVE:
            lane.works += machine.send(sealed)

    def wake(self, space: bytes) -> None:
        """Something of a space, by its id, is left to do that did not come over this connection (`Replica.hear`).

        One that the relay had let nobody into by the keys that were here is begun anew.
        """
        lane = self.of.get(space)
        if lane is None:
            return
        if lane.state is State.LIVE:
            lane.works += [*lane.machine.send([]), *lane.machine.go_on(), *lane.machine.look()]
        elif isinstance(lane.error, RelayRefused) and lane.error.reason == "denied":
            lane.state = State.RESTING
            self.again(lane)

    @property
    def gathering(self) -> bool:
        """Whether acknowledgements wait to be noted."""
        return any(lane.state is State.LIVE and lane.machine.gathering for lane in self.all)

    def gathered(self) -> None:
        """Let the acknowledgements that wait be noted."""
        for lane in self.all:
            if lane.state is State.LIVE and lane.machine.gathering:
                lane.works += lane.machine.go_on()

    def broadcast(self, space: bytes, message: bytes, to: bytes) -> bool:
        """Have a sealed ephemeral message of a space passed on, to all or one, if that is followed; else it is let go.
        """
        lane = self.of.get(space)
        if lane is None or lane.state is not State.LIVE or lane.machine.phase is not Phase.FOLLOWING:
            return False
        lane.channel.broadcast(lane.replica.space.handle, message, to)
        return True

    def forward(self, *, at_once: bool = False) -> None:
        """Give the relay what other relays brought a while ago, and it does not show: to be called now and then.

        `at_once`: what they brought just now too, though its author may be about to bring it.
        """
        for lane in self.all:
            if lane.quiet:
                lane.works += lane.machine.forward(at_once=at_once)  # what is said of a space has room in a full one
                lane.machine.retry()

    def hand_on(self) -> bool:
        """The same, at once, where keys wait for that and for nothing else; whether they do anywhere."""
        waiting = [lane for lane in self.all if lane.quiet and not (lane.idle or lane.stuck)]
        for lane in waiting:
            lane.works += lane.machine.forward(at_once=True)
        return bool(waiting)

    def try_now(self) -> None:
        """Somebody asks: begin anew now what rests, which is no problem until the relay answered."""
        for lane in self.all:
            if lane.state is State.RESTING and self._welcomed is not None:
                lane.error = None
                self.again(lane)

    def again(self, lane: Lane) -> None:
        """Begin a lane that rests anew."""
        if lane.state is State.RESTING and self._welcomed is not None:
            lane.channel, lane.machine = self._begin(lane.replica, lane.machine.progress)
            lane.state = State.LIVE
            self._lanes[lane.channel] = lane
            self._feed(lane, self._welcomed)

    # --- what the shell does ------------------------------------------------------------

    def data_to_send(self) -> list[bytes]:
        """The frames to send now, in order; each is returned once."""
        self._open()
        self._keep()
        return self._session.data_to_send()

    @property
    def sends(self) -> bool:
        """Whether there is anything to send."""
        return self._session.sends or any(lane.channel.claims for lane in self.all)

    @property
    def busy(self) -> bool:
        """Whether there is work to take."""
        return any(lane.works for lane in self.all)

    def take(self) -> list[Job]:
        """The work to do next, in order: all that is there."""
        jobs = [Job(lane, lane.machine, work, lane.machine.met) for lane in self.all for work in lane.works]
        for lane in self.all:
            lane.under_way += len(lane.works)
            lane.works.clear()
        return jobs

    def done(self, job: Job, result: Any) -> None:
        """Work is committed. Raises as `receive`."""
        job.lane.under_way -= 1
        if job.lane.machine is not job.machine or job.lane.state is not State.LIVE:
            return
        try:
            job.lane.works += job.work.then(result)
            if job.lane.machine.spaces:
                self.found |= set(job.lane.machine.spaces)
                job.lane.machine.spaces.clear()
        except (RelayRefused, RelayMisbehaved, RelayUnreachable) as error:
            self._end(job.lane, error)
        else:
            job.lane.error = None
        self._check()

    def failed(self, job: Job, error: ChezError) -> None:
        """Work raised, and left no trace. Raises what concerns every space, else as `receive`."""
        job.lane.under_way -= 1
        if isinstance(error, HomeCopied | StorageFailed):
            raise error
        if job.lane.machine is job.machine and job.lane.state is State.LIVE:
            self._end(job.lane, error)
        self._check()

    # --- how things stand ---------------------------------------------------------------

    @property
    def incarnation(self) -> bytes:
        """What the relay called its store in its greeting (32 bytes); none before."""
        return b"" if self._welcomed is None else self._welcomed.incarnation

    @property
    def welcomed(self) -> bool:
        """Whether the relay answered the greeting."""
        return self._welcomed is not None

    @property
    def settled(self) -> bool:
        """Whether every lane is in step, or stopped."""
        return self._welcomed is not None and not self.found and all(
            lane.idle or lane.stuck or lane.state is State.STOPPED
            or isinstance(lane.error, RelayRefused | RelayMisbehaved)
            for lane in self.all)

    @property
    def progress(self) -> Progress:
        """What was done on this connection so far, for all spaces together."""
        told = Progress.together((self._former, *(lane.machine.progress for lane in self.all)))
        told.left = sum(len(lane.machine.outgoing.window) for lane in self.all)
        return told

    @property
    def problems(self) -> dict[bytes, ChezError]:
        """The spaces, by id, that are not in step, and why."""
        found = {lane.replica.space.id: lane.machine.outgoing.full if lane.state is State.LIVE else lane.error
                 for lane in self.all}
        return {space: error for space, error in found.items() if error is not None}

    @property
    def following(self) -> bool:
        """Whether the connection came so far that some space was followed."""
        return any(lane.machine.phase is Phase.FOLLOWING for lane in self.all)

    # --- the session's events -----------------------------------------------------------

    def _event(self, event: Event) -> None:
        match event:
            case Welcomed():
                self._welcomed = event
                for lane in self.all:
                    self._greet(lane, event)
            case SpacesOpened(ref=ref):
                self._opened_more = True
                for channel, ticket in self._opening.answered(ref):
                    self._opened(channel, ticket, event)
            case SpacesResumed():
                again, lost = self._opening.resumed(event)
                for channel, resumed in again:
                    self._feed(self._whose(channel), resumed)
                self._open_again(lost)
            case SessionKept(ref=ref, alike=alike):
                if self._keeping is not None:
                    self._keeping.answered(ref, alike)
            case Refused(ref=0):
                raise _refusal(event)
            case Refused(ref=ref) if asked := self._opening.answered(ref):
                for channel, ticket in asked:
                    self._feed(self._whose(channel), msgspec.structs.replace(event, ref=ticket))
            case Refused(ref=ref) if lost := self._opening.refused(ref):
                self._open_again(lost)
            case Refused(ref=ref) if self._keeping is not None and self._keeping.answered(ref, False):
                pass  # the next connection logs in as the first did
            case EntriesArrived(ref=ref):
                self._feed(self._whose(self._asked.get(ref)), event)
            case EphemeralArrived(handle, message, sender):
                of = [lane.replica for lane in self.all if lane.replica.space.handle == handle]
                self.said += [(replica, message, sender) for replica in of]
            case RolesEnded(handle=handle) | EarlyArrived(handle=handle):
                for lane in self.all:
                    if lane.replica.space.handle == handle:
                        self._feed(lane, event)
            case (AppendDone(ref=ref) | Completed(ref=ref) | PacketArrived(ref=ref) | ChunkArrived(ref=ref)
                  | ChunksFound(ref=ref) | Refused(ref=ref)):
                self._feed(self._whose(self._asked.pop(ref, None)), event)
            case _:
                pass

    def _greet(self, lane: Lane, event: Welcomed) -> None:
        """The connection stands: a space goes on, unless the other side did not prove that it keeps it too."""
        if event.met is None or lane.replica.space.handle in event.met:
            self._feed(lane, event)
        elif lane.state is State.LIVE:
            self._end(lane, RelayRefused("the device there does not keep this space, or not yet", reason="stranger"))

    def _opened(self, channel: Channel, ticket: int, event: SpacesOpened) -> None:
        """What a relay answered to many is each lane's for its own space."""
        if (lane := self._whose(channel)) is not None:
            handle = lane.replica.space.handle
            self._feed(lane, SpacesOpened(ticket, tuple(one for one in event.spaces if one.handle == handle)))

    def _open_again(self, channels: list[Channel]) -> None:
        """What the relay kept of these is worth nothing: they are opened as the first time."""
        for channel in channels:
            if self._whose(channel) is not None:
                channel.again()

    def _whose(self, channel: Channel | None) -> Lane | None:
        """The lane that a channel is of; None when the lane ended or was begun again."""
        return None if channel is None else self._lanes.get(channel)

    def _feed(self, lane: Lane | None, event: Event) -> None:
        if lane is None or lane.state is not State.LIVE:
            return
        lane.heard += 1
        try:
            lane.works += lane.machine.handle(event)
            if lane.machine.phase is Phase.FOLLOWING:
                lane.rests = lane.doubts
        except (RelayRefused, RelayMisbehaved, RelayUnreachable) as error:
            self._end(lane, error)

    def _open(self) -> None:
        """Send the claims that are there."""
        asking = {lane.replica.space.handle: lane.channel for lane in self.all if lane.channel.claims}
        if asking:
            self._opening.send(asking, {lane.replica.space.handle for lane in self.all
                                        if lane.state is State.LIVE and lane.machine.phase is Phase.GREETING})

    def _keep(self) -> None:
        """Let the relay keep what is followed, once every lane that goes on is."""
        if self._keeping is None or not self._opened_more or any(
                lane.machine.phase is not Phase.FOLLOWING for lane in self.all if lane.state is State.LIVE):
            return
        self._opened_more = False
        self._keeping.ask(self._session, {lane.replica.space.handle: lane.channel.opened for lane in self.all
                                          if lane.state is State.LIVE})

    # --- lanes that end -----------------------------------------------------------------

    def _begin(self, replica: Replica, progress: Progress) -> tuple[Channel, SyncMachine]:
        channel = Channel(self._session, self._asked)
        return channel, SyncMachine(replica, self._relay, channel, progress=progress, share=max(1, len(self.all)),
                                    gathers=self._gathers)

    def _end(self, lane: Lane, error: ChezError) -> None:
        hearsay = isinstance(error, RelayMisbehaved) and error.hearsay
        if self._near and isinstance(error, RelayMisbehaved) and not hearsay:
            hearsay = True  # any member may have said to have this store
            lane.replica.relays.doubted.add(self._relay)
        soon = isinstance(error, RelayUnreachable) or hearsay or lane.left_behind(error) or _unfilled(error)
        lane.turned_away = not (soon or self._near or lane.over(error))
        rests = self._rests and (soon or lane.turned_away)
        lane.state = State.RESTING if rests else State.STOPPED
        if rests:
            lane.rests += 1
            lane.doubts += hearsay
            self.resting.append(lane)
        lane.error = error
        lane.replica.relays.was_read(self._relay, whole=False)
        lane.works.clear()
        lane.channel.claims = []
        # What is still under way to it is nobody's.
        self._lanes.pop(lane.channel, None)

    @property
    def over(self) -> bool:
        """Whether each lane ended with what a relay changes no more."""
        return bool(self.all) and all(lane.error is not None and lane.over(lane.error) for lane in self.all)

    @property
    def met(self) -> frozenset[bytes]:
        """The handles that both sides proved to keep, where the relay is another device's, on this network."""
        return frozenset() if self._welcomed is None or self._welcomed.met is None else self._welcomed.met

    @property
    def _near(self) -> bool:
        return bool(self.met)

    def _check(self) -> None:
        """Raise what the first lane ended with when none goes on."""
        for lane in self.all:
            if lane.state is State.LIVE:  # nearly always the first
                return
        if self.all and not (self._near and any(lane.state is State.RESTING for lane in self.all)):
            ended = [lane.error for lane in self.all if lane.error is not None]
            # One that only rests is worth another connection.
            raise next((error for error in ended if isinstance(error, RelayUnreachable)), ended[0])


def _unfilled(error: ChezError) -> bool:
    """Whether a relay does not have a space, or no more, that another device is to bring it: who can comes and goes.
    """
    return isinstance(error, RelayRefused) and error.reason == "unknown"


def _refusal(event: Refused) -> ChezError:
    if event.retry:
        return RelayUnreachable(f"the relay can't just now: {event.message}", "It is tried again.")
    return RelayRefused(f"the relay refused: {event.message}", reason=event.code)
