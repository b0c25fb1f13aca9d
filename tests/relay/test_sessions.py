"""Both cores over a fake link: one log for everybody, order, credit, inboxes, and links that lie."""


import pytest
from hypothesis import given
from hypothesis import strategies as st

from chez.errors import RelayMisbehaved
from chez.sync.events import (
    AppendDone,
    EntriesArrived,
    InboxArrived,
)
from chez_relay.effects import Ask, Send
from chez_relay.errors import Code
from chez_relay.storage import AddItem, Entry, Page, Quotas, ReadPage
from chez_wire import frames
from chez_wire.envelope import entry_id
from chez_wire.limits import MAX_CREDIT
from chez_wire.login import Role, inbox_of
from tests.relay.link import Link, World, envelopes, followed, kinds, opened, refusals
from tests.relay.support import Space, key, seed

SPACE = Space()


@given(st.integers(0, 2**32))
def test_everybody_sees_the_same_log(number: int) -> None:
    """Two writers and a reader, any interleaving: all see one log, each entry once and acknowledged in it."""
    world = World(number)
    links = [opened(world) for _ in range(3)]
    for index, link in enumerate(links):
        link.client.subscribe(SPACE.handle, 0, 100_000)
        for part in range(4 * (index < 2)):
            link.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(10 * index + part))
    world.run()
    logs = [followed(link) for link in links]
    assert logs[0] == logs[1] == logs[2] and [offset for offset, _ in logs[0]] == list(range(1, 9))
    for link in links:
        for done in kinds(link, AppendDone):
            assert logs[0][done.offset - 1] == (done.offset, done.entry)
    assert not any(link.client.unanswered for link in links)


def test_an_own_entry_does_not_come_back() -> None:
    """A writer that is up to date gets no copy of what it sent; one that is behind gets all of it in order."""
    world = World(5)
    writer, other = opened(world), opened(world)
    writer.client.subscribe(SPACE.handle, 0, 100_000)
    world.run()
    for part in range(3):
        writer.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(part))
        world.run()
    assert envelopes(writer) == []
    assert [done.passed for done in kinds(writer, AppendDone)] == [True] * 3
    other.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(3))
    world.run()
    writer.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(4))
    world.run()
    assert envelopes(writer) == [SPACE.envelope(3)]
    other.client.subscribe(SPACE.handle, 0, 100_000)
    world.run()
    assert envelopes(other) == [SPACE.envelope(part) for part in range(5)]


def test_who_is_up_to_date_is_sent_what_is_new_and_who_is_not_reads() -> None:
    """News go on as they are where nothing lies between, and the credit has room for them; else a page is asked for."""
    world = World(12)
    reader = opened(world, Role.READ)
    reader.client.subscribe(SPACE.handle, 0, 1000)
    world.run()

    def news(*numbers: int, size: int = 300) -> list[type]:
        page = Page(tuple(Entry(number, SPACE.envelope(number, size)) for number in numbers), seed("head"), numbers[-1])
        return [type(effect.request if isinstance(effect, Ask) else effect)
                for effect in reader.relay.grew(SPACE.handle, page)]

    assert news(1, 2) == [Send]
    assert news(1, 2) == [] == news(2), "what was sent"
    assert news(2, 3) == [Send], "what is left of it"
    assert news(4) == [ReadPage], "more than the credit that is left"
    assert news(4, 5) == [], "a page is under way"
    gap = opened(world, Role.READ)
    gap.client.subscribe(SPACE.handle, 0, 1000)
    world.run()
    reader = gap
    assert news(2) == [ReadPage], "one lies between"
    late = opened(world, Role.READ)
    late.client.subscribe(SPACE.handle, 0, 1000)
    world.run()
    (asked,) = late.relay.grew(SPACE.handle, Page((), seed("head"), 1))
    assert isinstance(asked, Ask) and isinstance(asked.request, ReadPage), "all that is said is that there is more"


@given(st.integers(0, 2**32), st.integers(0, 60))
def test_a_cut_connection_resumes_without_loss_or_double(number: int, steps: int) -> None:
    """Cut anywhere, connect again, repeat what was not acknowledged: each entry is there once."""
    world = World(number)
    first = opened(world)
    wanted = [SPACE.envelope(part) for part in range(6)]
    for envelope in wanted:
        first.client.append(SPACE.handle, Role.APPEND, envelope)
    world.run(steps)
    first.cut = True
    second = opened(world)
    acknowledged = {done.entry for done in kinds(first, AppendDone)}
    for envelope in wanted:
        if entry_id(envelope) not in acknowledged:
            second.client.append(SPACE.handle, Role.APPEND, envelope)
    second.client.subscribe(SPACE.handle, 0, 100_000)
    world.run()
    assert sorted(envelopes(second)) == sorted(wanted)


@given(st.integers(0, 2**32))
def test_a_link_that_loses_repeats_and_reorders_is_caught_or_harmless(number: int) -> None:
    """Whatever happens to the relay's frames, the client holds a true prefix of the log or says so."""
    world = World(number)
    reader = opened(world, hostile=True)
    reader.client.subscribe(SPACE.handle, 0, 100_000)
    writer = opened(world)
    truth = [SPACE.envelope(part) for part in range(8)]
    for envelope in truth:
        writer.client.append(SPACE.handle, Role.APPEND, envelope)
    world.run()
    seen = envelopes(reader)
    assert seen == truth[: len(seen)]
    if reader.caught is not None:
        with pytest.raises(RelayMisbehaved):
            reader.client.receive(frames.encode(frames.Done(1)))


@given(st.integers(0, 2**32))
def test_what_is_lost_repeated_and_reordered_on_the_way_up_doubles_nothing(number: int) -> None:
    """Whatever happens to a device's frames, what it was told is stored is, where it was told. The log has no gap and
    nothing twice, then and once another connection gave what nobody acknowledged."""
    world = World(number)
    rough, other = opened(world, hostile_up=True), opened(world)
    other.client.subscribe(SPACE.handle, 0, 100_000)
    wanted = [SPACE.envelope(part) for part in range(8)]
    for part, envelope in enumerate(wanted):
        (other if part % 4 == 3 else rough).client.append(SPACE.handle, Role.APPEND, envelope)
    world.run()
    acknowledged = kinds(rough, AppendDone)
    assert_log(world, other, [*acknowledged, *kinds(other, AppendDone)])
    rough.cut = True
    again = opened(world)
    for envelope in wanted:
        if entry_id(envelope) not in {done.entry for done in acknowledged}:
            again.client.append(SPACE.handle, Role.APPEND, envelope)
    world.run()
    log = assert_log(world, other, [*acknowledged, *kinds(again, AppendDone)])
    assert sorted(log) == sorted(map(entry_id, wanted))


def assert_log(world: World, reader: Link, acknowledged: list[AppendDone]) -> list[bytes]:
    """The ids of a log's entries, which a reader has in the same places, each once, and which have what is acknowledged
    where it says."""
    (page,) = world.storage.perform_now([ReadPage(SPACE.handle, 0, 100_000, SPACE.keys.read)])
    assert isinstance(page, Page) and [entry.offset for entry in page.entries] == list(range(1, page.end + 1))
    log = [entry_id(entry.envelope) for entry in page.entries]
    assert len(set(log)) == len(log) and followed(reader) == list(enumerate(log, 1))
    assert all(log[done.offset - 1] == done.entry for done in acknowledged)
    return log


def test_control_appends_under_its_own_quota() -> None:
    """Role control appends entries, and its quota is not the data's."""
    world = World(6, Quotas(space_bytes=300, control_bytes=300))
    link = opened(world, Role.APPEND, Role.CONTROL)
    for number, role in enumerate((Role.APPEND, Role.APPEND, Role.CONTROL, Role.CONTROL)):
        link.client.append(SPACE.handle, role, SPACE.envelope(number))
    world.run()
    assert refusals(link) == [Code.QUOTA, Code.QUOTA] and len(kinds(link, AppendDone)) == 2


def test_an_entry_of_another_space_or_format_is_refused() -> None:
    """The header must name the space appended to, in a known format."""
    world = World(7)
    link = opened(world)
    bad = SPACE.envelope(1)
    for envelope in (Space("other").envelope(1), b"CZE\x09" + bad[4:], b"", bad[:100]):
        link.client.append(SPACE.handle, Role.APPEND, envelope)
    world.run()
    assert refusals(link) == [Code.BAD_ENTRY] * 4


@given(st.integers(0, 2**32), st.integers(300, 3000))
def test_pushes_never_exceed_the_credit(number: int, credit: int) -> None:
    """A reader that gives no more credit is owed at most that and one entry; later it gets the rest."""
    world = World(number)
    reader = opened(world, Role.READ)
    reader.client.subscribe(SPACE.handle, 0, credit)
    writer = opened(world)
    for part in range(20):
        writer.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(part))
    world.run()
    assert credit <= sum(map(len, envelopes(reader))) < credit + 300
    while len(envelopes(reader)) < 20:
        before = len(envelopes(reader))
        reader.client.credit(SPACE.handle, 700)
        world.run()
        assert before < len(envelopes(reader)) <= before + 4


def test_a_page_fits_a_frame_however_much_is_asked_for() -> None:
    """Of 2 MiB of entries, with a limit of 16 MiB, one page of at most 768 KiB comes, and the next on demand."""
    world = World(15)
    link = opened(world)
    for part in range(8):
        link.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(part, 262_144))
    world.run()
    for after in (0, 3, 6):
        link.client.read(SPACE.handle, after, 16_777_216)
        for data in link.client.data_to_send():
            link.apply(link.relay.receive(data))
        world.perform(link, link.owed.popleft())
        assert len(link.down[-1]) <= 1_048_576
    world.run()
    pages = [[entry.offset for entry in event.entries] for event in kinds(link, EntriesArrived)]
    assert pages == [[1, 2, 3], [4, 5, 6], [7, 8]]


def test_credit_does_not_pile_up() -> None:
    """However often 16 MiB are allowed, so much is sent until there is new credit, and at most one entry beyond it."""
    world = World(16)
    reader = opened(world, Role.READ)
    reader.client.subscribe(SPACE.handle, 0, 1)
    for _ in range(100):
        reader.client.credit(SPACE.handle, 16_777_216)
    world.run()
    writer = opened(world)
    for part in range(20):
        writer.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(part, 1_000_000))
    world.run()
    assert reader.caught is None and len(envelopes(reader)) == 17
    reader.client.credit(SPACE.handle, 16_777_216)
    world.run()
    assert len(envelopes(reader)) == 20


def behind() -> tuple[World, Link]:
    """A reader who begins to follow a space of 36 MB, with all the credit there is."""
    world = World(17)
    writer = opened(world)
    for part in range(36):
        writer.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(part, 1_000_000))
    world.run()
    reader = world.connect()
    reader.client.open(SPACE.claims(Role.READ))
    world.run()
    reader.client.subscribe(SPACE.handle, 0, MAX_CREDIT)
    return world, reader


def relay_works(world: World, reader: Link) -> None:
    """The relay gets what the reader says, and sends what it may; none of that arrives yet."""
    for data in reader.client.data_to_send():
        reader.apply(reader.relay.receive(data))
    while reader.owed:
        world.perform(reader, reader.owed.popleft())


def test_credit_given_while_entries_are_on_their_way_blames_nobody() -> None:
    """What the relay has sent and the reader has not seen counts on one side alone: both hold to the lesser credit."""
    world, reader = behind()
    for _ in range(3):  # each time all that is allowed is on its way, and the reader allows as much again
        relay_works(world, reader)
        reader.client.credit(SPACE.handle, MAX_CREDIT)
    assert MAX_CREDIT <= sum(map(len, reader.down)) < MAX_CREDIT + 1_100_000
    world.run()
    assert reader.caught is None and len(envelopes(reader)) == 17
    reader.client.credit(SPACE.handle, MAX_CREDIT)
    world.run()
    assert reader.caught is None and len(envelopes(reader)) == 34


@pytest.mark.parametrize("seen", [1, 2, 5])
def test_more_credit_than_there_is_room_for_is_given_in_part(seen: int) -> None:
    """As much as arrived of what is on its way: no more is ever under way than both sides count, and all of it comes.
    """
    world, reader = behind()
    while len(envelopes(reader)) < 36:
        before = len(envelopes(reader))
        relay_works(world, reader)
        assert sum(map(len, reader.down)) < MAX_CREDIT + 1_100_000
        for _ in range(min(seen, len(reader.down))):
            reader.events += reader.client.receive(reader.down.popleft())
        assert len(envelopes(reader)) > before, "nothing comes any more"
        reader.client.credit(SPACE.handle, MAX_CREDIT)


def test_inbox_items_come_in_order_and_are_deleted_when_acknowledged() -> None:
    """Put before and during the watch, taken once, gone after the acknowledgement."""
    world = World(9)
    owner, box = world.connect(), inbox_of(key("owner").public)
    owner.client.create_inbox(key("owner"), key("writer").public, 60)
    writer = world.connect()
    world.run()
    writer.client.open([(box, Role.PUT, key("writer"))])
    for item in (b"1", b"2", b"2", b"3"):
        writer.client.put(box, item)
    owner.client.open([(box, Role.TAKE, key("owner"))])
    owner.client.watch(box)
    world.run()
    items = [(item.number, item.item) for event in kinds(owner, InboxArrived) for item in event.items]
    assert items == [(1, b"1"), (2, b"2"), (3, b"3")]
    owner.client.ack(box, 2)
    owner.client.watch(box)
    owner.events.clear()
    world.run()
    assert [item.item for event in kinds(owner, InboxArrived) for item in event.items] == [b"3"]
    assert not owner.client.unanswered


def test_an_item_that_comes_while_a_page_is_under_way_is_sent() -> None:
    """Behind the page that was read before it came; and a watch that was replaced meanwhile hears of nothing."""
    world = World(14)
    owner, box = world.connect(), inbox_of(key("owner").public)
    owner.client.create_inbox(key("owner"), key("writer").public, 60)
    owner.client.open([(box, Role.TAKE, key("owner"))])
    world.run()
    replaced = owner.client.watch(box)
    watching = owner.client.watch(box)
    for data in owner.client.data_to_send():
        owner.apply(owner.relay.receive(data))
    asked = list(owner.owed)
    owner.owed.clear()
    pages = world.storage.perform_now([ask.request for ask in asked])
    world.storage.perform_now([AddItem(box, b"late", key("writer").public)])
    owner.apply(owner.relay.inbox_grew(box))
    for ask, page in zip(asked, pages, strict=True):
        owner.apply(owner.relay.completed(ask, page))
    world.run()
    arrived = [(event.ref, [item.item for item in event.items]) for event in kinds(owner, InboxArrived)]
    assert arrived == [(watching, []), (watching, [b"late"])] and replaced != watching


def test_subscribing_again_replaces_the_first() -> None:
    """Pages still under way for the first subscription are dropped, none comes twice after it."""
    world = World(10)
    link = opened(world)
    for part in range(5):
        link.client.append(SPACE.handle, Role.APPEND, SPACE.envelope(part))
    world.run()
    link.client.subscribe(SPACE.handle, 0, 100)
    second = link.client.subscribe(SPACE.handle, 3, 10_000)
    world.run()
    arrived = [event for event in kinds(link, EntriesArrived) if event.ref == second]
    assert [entry.offset for event in arrived for entry in event.entries] == [4, 5]
    assert not link.client.unanswered


def test_an_offset_beyond_the_end_is_refused() -> None:
    """A relay that was rolled back says that it never had what the client holds."""
    world = World(11)
    link = opened(world)
    link.client.read(SPACE.handle, 7)
    link.client.subscribe(SPACE.handle, 7, 1000)
    world.run()
    assert refusals(link) == [Code.AHEAD, Code.AHEAD]
