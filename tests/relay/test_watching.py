"""Watches and subscriptions at the relay, frame by frame: what is refused or replaced is over."""

from chez_relay.effects import Ask, Effect, Follow, Send
from chez_relay.errors import Code
from chez_relay.session import RelaySession
from chez_relay.storage import AddItem, DropItems, Page
from chez_wire import frames
from chez_wire.login import Role, inbox_of
from tests.relay.link import Link, World, opened
from tests.relay.support import Space, key, seed

SPACE = Space()
BOX = inbox_of(key("owner").public)


def owner(world: World) -> Link:
    """Who may take what is in the inbox."""
    link = world.connect()
    link.client.create_inbox(key("owner"), key("writer").public, 60)
    link.client.open([(BOX, Role.TAKE, key("owner"))])
    world.run()
    return link


def put(world: World, item: bytes) -> None:
    world.storage.perform_now([AddItem(BOX, item, key("writer").public)])


def asked(effects: list[Effect]) -> Ask:
    """What the storage is asked for, beside which nothing is sent."""
    (ask,) = [one for one in effects if not isinstance(one, Follow)]
    assert isinstance(ask, Ask)
    return ask


def answered(world: World, relay: RelaySession, ask: Ask) -> list[frames.RelayFrame | Ask]:
    """What becomes of the storage's answer."""
    (result,) = world.storage.perform_now([ask.request])
    return [frames.decode_relay(one.data) if isinstance(one, Send) else one
            for one in relay.completed(ask, result) if isinstance(one, (Send, Ask))]


def test_a_watch_that_was_replaced_is_over() -> None:
    """Its page comes to nothing, and is not followed by another."""
    world = World(1)
    relay = owner(world).relay
    put(world, b"item")
    first = asked(relay.receive(frames.encode(frames.Watch(11, BOX, 0))))
    second = asked(relay.receive(frames.encode(frames.Watch(12, BOX, 0))))
    relay.inbox_grew(BOX)
    assert answered(world, relay, first) == []
    items = frames.InboxItems(12, BOX, [frames.InboxItem(1, b"item")])
    sent, more = answered(world, relay, second)
    assert sent == items and isinstance(more, Ask)
    assert answered(world, relay, more) == []


def test_nothing_is_said_where_nothing_is_left() -> None:
    """But for the first answer, which says that the watch stands; what was taken elsewhere is not asked for again."""
    world = World(2)
    relay = owner(world).relay
    ask = asked(relay.receive(frames.encode(frames.Watch(11, BOX, 0))))
    assert answered(world, relay, ask) == [frames.InboxItems(11, BOX, [])]
    put(world, b"item")
    world.storage.perform_now([DropItems(BOX, 1)])
    assert answered(world, relay, asked(relay.inbox_grew(BOX))) == []
    put(world, b"another")
    assert answered(world, relay, asked(relay.inbox_grew(BOX))) == [
        frames.InboxItems(11, BOX, [frames.InboxItem(2, b"another")])]


def test_one_page_of_an_inbox_is_under_way_at_a_time() -> None:
    """However often it grows meanwhile."""
    world = World(3)
    relay = owner(world).relay
    ask = asked(relay.receive(frames.encode(frames.Watch(11, BOX, 0))))
    put(world, b"item")
    assert relay.inbox_grew(BOX) == relay.inbox_grew(BOX) == []
    assert len(answered(world, relay, ask)) == 2, "its items, and one page more"


def test_what_was_refused_hears_of_nothing() -> None:
    """A watch and a subscription beyond the end: neither is there."""
    world = World(4)
    relay = owner(world).relay
    (failed,) = answered(world, relay, asked(relay.receive(frames.encode(frames.Watch(11, BOX, 7)))))
    assert isinstance(failed, frames.Failed) and failed.code == Code.AHEAD
    assert relay.inbox_grew(BOX) == []
    reader = opened(world, Role.READ, Role.CONTROL)
    world.run()
    relay = reader.relay
    subscription = frames.Subscribe(12, SPACE.handle, 7, 1000)
    (failed,) = answered(world, relay, asked(relay.receive(frames.encode(subscription))))
    assert isinstance(failed, frames.Failed) and failed.code == Code.AHEAD
    news = Page((frames.Entry(8, SPACE.envelope(8)),), seed("head"), 8)
    assert relay.grew(SPACE.handle, news) == [] and not relay.hears(SPACE.handle)
    assert relay.receive(frames.encode(frames.Credit(SPACE.handle, 1000))) == [], "it was given before that was known"
