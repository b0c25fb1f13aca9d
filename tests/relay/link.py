"""Both cores joined by a fake link under one seeded scheduler: no socket, no clock, no thread."""

from collections import deque
from dataclasses import dataclass, field
from random import Random

from chez.errors import RelayMisbehaved
from chez.sync.events import AppendDone, Completed, EntriesArrived, Event, Refused, SpacesOpened
from chez.sync.session import ClientSession
from chez_relay.effects import Ask, Close, Effect, PassOn, Send
from chez_relay.fanout import growth
from chez_relay.session import RelaySession
from chez_relay.storage import AddEntry, Quotas, Request
from chez_relay.storage.memory import MemoryStorage
from chez_wire.envelope import entry_id
from chez_wire.login import Role
from tests.relay.support import Space, seed

NAME = "relay.test:8787"


@dataclass
class Link:
    """One connection: two sessions, a queue each way, and what the storage still owes.

    Each of `step`'s choices moves one thing; TCP keeps order, so an honest link does too.
    With `hostile` the relay's frames are lost, repeated or swapped on the way, with `hostile_up` the device's.
    """

    world: "World"
    client: ClientSession
    relay: RelaySession
    up: deque[bytes] = field(default_factory=deque)
    down: deque[bytes] = field(default_factory=deque)
    owed: deque[Ask] = field(default_factory=deque)
    events: list[Event] = field(default_factory=list)
    closed: Close | None = None
    cut: bool = False
    hostile: bool = False
    hostile_up: bool = False
    caught: RelayMisbehaved | None = None

    def apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(data):
                    self.down.append(data)
                case Ask():
                    self.owed.append(effect)
                    self.world.pass_early(self, effect.request)
                case PassOn(name, data, to):
                    for other in self.world.links:
                        if other is not self and not other.cut and other.relay.hears(name, to):
                            other.down.append(data)
                case Close():
                    self.closed = effect
                case _:
                    pass

    def step(self, random: Random) -> bool:
        """Move one thing of this link; False when nothing is left to move."""
        if self.cut:
            return False
        self.up.extend(self.client.data_to_send())
        moves = [name for name in ("up", "owed", "down") if getattr(self, name)]
        if not moves:
            return False
        match random.choice(moves):
            case "up":
                if (data := _next(self.up, random, self.hostile_up)) is not None:
                    self.apply(self.relay.receive(data))
            case "owed":
                self.world.perform(self, self.owed.popleft())
            case _:
                self._deliver(random)
        return True

    def _deliver(self, random: Random) -> None:
        if (data := _next(self.down, random, self.hostile)) is None:
            return
        try:
            self.events += self.client.receive(data)
        except RelayMisbehaved as error:
            self.caught, self.cut = error, True


def _next(queue: deque[bytes], random: Random, hostile: bool) -> bytes | None:
    """The frame that arrives next; None where it is lost, or comes after all others."""
    data = queue.popleft()
    if hostile and random.random() < 0.2:
        match random.randrange(3):
            case 0:
                return None
            case 1:
                queue.appendleft(data)
            case _:
                queue.append(data)
                return None
    return data


class World:
    """One relay's storage and all links to it, moved by a seeded scheduler."""

    def __init__(self, number: int, quotas: Quotas | None = None) -> None:
        self.random = Random(number)
        self.storage = MemoryStorage(seed("incarnation"), quotas=quotas)
        self.links: list[Link] = []
        self.early = 0.5
        """How likely an entry is passed on before it is stored."""

    def connect(self, dialled: str = NAME, **options: bool) -> Link:
        client = ClientSession(dialled, self.random.randbytes(32))
        relay = RelaySession(names=[NAME], nonce=self.random.randbytes(32),
                             incarnation=self.storage.incarnation)
        link = Link(self, client, relay, **options)
        self.links.append(link)
        return link

    def perform(self, link: Link, ask: Ask) -> None:
        results = self.storage.perform_now([ask.request])
        link.apply(link.relay.completed(ask, results[0]))
        news = growth([ask.request], results)
        for other in self.links:
            if not other.cut:
                for handle, credentials in news.rotated.items():
                    other.apply(other.relay.rotated(handle, credentials))
                for handle, page in news.spaces.items():
                    other.apply(other.relay.grew(handle, page))
                for inbox in news.inboxes:
                    other.apply(other.relay.inbox_grew(inbox))

    def pass_early(self, link: Link, request: Request) -> None:
        """The relay may pass an entry on before it is stored."""
        if isinstance(request, AddEntry) and not request.control and self.random.random() < self.early:
            for other in self.links:
                if other is not link and not other.cut:
                    other.apply(other.relay.early(request.handle, request.envelope))

    def run(self, steps: int = 100_000) -> None:
        """Move things, in an order drawn from the seed, until nothing is left (or `steps` are done)."""
        for _ in range(steps):
            links = [link for link in self.links if not link.cut]
            self.random.shuffle(links)
            if not any(link.step(self.random) for link in links):
                return


def completed(link: Link) -> set[int]:
    """The refs of what was done."""
    return {event.ref for event in link.events if isinstance(event, Completed)}


def opened(world: World, *roles: Role, space: Space | None = None, **options: bool) -> Link:
    """A link whose client created the space and opened roles at it."""
    space = space or Space()
    link = world.connect(**options)
    link.client.create_space(space.admin, *space.others)
    link.client.open(space.claims(*roles))
    return link


def kinds(link: Link, kind: type) -> list:  # type: ignore[type-arg]
    return [event for event in link.events if isinstance(event, kind)]


def refusals(link: Link) -> list[str]:
    return [event.code for event in kinds(link, Refused)]


def outcomes(link: Link) -> list[str]:
    return [space.error for event in kinds(link, SpacesOpened) for space in event.spaces]


def envelopes(link: Link) -> list[bytes]:
    return [entry.envelope for event in kinds(link, EntriesArrived) for entry in event.entries]


def followed(link: Link) -> list[tuple[int, bytes]]:
    """Offset and id of each entry that a subscription stood at: sent to it, or its own and passed over."""
    seen = []
    for event in link.events:
        if isinstance(event, EntriesArrived):
            seen += [(entry.offset, entry_id(entry.envelope)) for entry in event.entries]
        elif isinstance(event, AppendDone) and event.passed:
            seen.append((event.offset, event.entry))
    return seen
