"""What the cluster in memory does, the real nodes do: each test runs on both."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest
from nats.aio.msg import Msg

from chez_relay.storage.jetstream.engine import Conflict, Engine, Kept, Unavailable
from chez_relay.storage.jetstream.patience import patiently
from tests.relay.clusters import Reached, emptied
from tests.relay.modelled import Modelled

LOG, BOX = "chez_log_0", "chez_box_0"
A, B = "chez.log.0.s.aa", "chez.log.0.s.bb"
T = TypeVar("T")


@pytest.fixture
async def engine(cluster: Reached) -> AsyncIterator[Engine]:
    """What a store asks, on empty streams of one shard."""
    async with emptied(cluster) as store:
        yield store.engine


async def any_node(engine: Engine, ask: Callable[[], Awaitable[T]], wanted: T) -> None:
    """Ask until the node that answers is not behind."""
    for _ in range(100):
        found = await patiently(engine, ask)
        if found == wanted:
            return
        await asyncio.sleep(0.05)
    assert found == wanted


async def put(engine: Engine, *subjects: str, size: int = 1) -> list[int]:
    """Messages under these subjects, whose data are their places; their sequences."""
    return [await engine.publish(subject, bytes((at,)) * size) for at, subject in enumerate(subjects)]


async def seqs(engine: Engine, subjects: str, stream: str = LOG) -> list[int]:
    """The sequences of all messages under a subject, as the leader has them."""
    found: list[int] = []
    while (one := await engine.next(stream, subjects, found[-1] + 1 if found else 1)) is not None:
        found.append(one.seq)
    return found


async def leader(engine: Engine) -> str:
    """The node that leads the stream of logs. Raises `Unavailable` where none does."""
    if found := (await engine.api(f"STREAM.INFO.{LOG}"))["cluster"].get("leader"):
        return str(found)
    raise Unavailable


async def test_sequences_rise_by_one_over_all_subjects_and_what_is_removed(engine: Engine) -> None:
    """A stream gives each of its messages the next number, also when all before it are gone."""
    first, second, third = await put(engine, A, B, A)
    assert (second, third) == (first + 1, first + 2)
    await engine.delete(LOG, third)
    await engine.purge(LOG, ">")
    assert await put(engine, A) == [first + 3]


async def test_a_publication_on_a_condition_is_stored_where_it_holds_and_leaves_nothing_elsewhere(
        engine: Engine) -> None:
    """By the subject's last message that is there: others do not count, nor one that was removed."""
    first = await engine.publish(A, b"1", expected=0)
    await put(engine, B)
    second = await engine.publish(A, b"2", expected=first)
    for wrong in (0, first, second + 1):
        with pytest.raises(Conflict):
            await engine.publish(A, b"3", expected=wrong)
    assert await seqs(engine, A) == [first, second]
    await engine.delete(LOG, second)
    assert await engine.newest(A) == first
    third = await engine.publish(A, b"4", expected=first)
    await engine.purge(LOG, A)
    assert await engine.newest(A) == 0 and not await engine.exists(A)
    assert await engine.publish(A, b"5", expected=0) == third + 1


async def test_what_is_published_alone_replaces_what_its_subject_had(engine: Engine) -> None:
    """And nothing of other subjects; no refused one replaces anything."""
    await put(engine, A, A)
    (other,) = await put(engine, B)
    only = await engine.publish(A, b"only", alone=True)
    assert (await seqs(engine, A), await seqs(engine, B)) == ([only], [other])
    with pytest.raises(Conflict):
        await engine.publish(A, b"none", alone=True, expected=other)
    assert await seqs(engine, A) == [only]


async def test_the_leader_gives_messages_with_their_marks(engine: Engine) -> None:
    """The last of a subject, the first from a sequence on, one by its sequence; None where there is none."""
    first, second = await put(engine, A, B)
    third = await engine.publish(A, b"\x00\xff", mark="0a1b")
    kept = Kept(A, third, b"\x00\xff", "0a1b")
    assert await engine.last(LOG, A) == await engine.next(LOG, A, first + 1) == await engine.at(LOG, third) == kept
    assert await engine.next(LOG, A, first) == Kept(A, first, b"\x00")
    assert await engine.next(LOG, "chez.log.0.s.*", first + 1) == Kept(B, second, b"\x01")
    assert await engine.last(LOG, "chez.log.0.s.cc") is None
    assert await engine.next(LOG, A, third + 1) is None and await engine.at(LOG, third + 1) is None
    await engine.delete(LOG, third)
    assert await engine.at(LOG, third) is None and await engine.last(LOG, A) == Kept(A, first, b"\x00")


async def test_any_node_gives_runs_of_messages(engine: Engine) -> None:
    """From a sequence on, of a subject or of those under a wildcard, as many as asked for, none where there is none."""
    found = await put(engine, A, B, A, "chez.log.0.gone.aa.bb")
    every = [Kept(subject, seq, bytes((at,))) for at, (subject, seq) in enumerate(
        zip((A, B, A, "chez.log.0.gone.aa.bb"), found, strict=True))]
    for subjects, first, count, wanted in (
            (A, 1, 9, [every[0], every[2]]), (">", found[1], 9, every[1:]), (">", 1, 2, every[:2]),
            ("chez.log.0.s.*", 1, 9, every[:3]), ("chez.log.0.*", 1, 9, []), (A, found[3], 9, []),
            ("chez.log.0.gone.>", 1, 9, every[3:])):
        await any_node(engine, lambda s=subjects, f=first, c=count: engine.run(LOG, s, f, size=1000, count=c), wanted)


async def test_a_run_ends_with_the_message_that_makes_it_as_large_as_wanted(engine: Engine) -> None:
    """Of however few bytes, one message comes."""
    found = await put(engine, *[A] * 5, size=1000)
    for size, count in ((1, 1), (900, 1), (1500, 2), (2500, 3)):
        await any_node(engine, lambda size=size: _places(engine, size), found[:count])


async def _places(engine: Engine, size: int) -> list[int]:
    return [one.seq for one in await engine.run(LOG, A, 1, size=size)]


async def test_any_node_gives_the_last_messages_and_how_far_it_is(engine: Engine) -> None:
    """Of each subject that has one, also under a wildcard; a node that finds none does not say how far it is."""
    _, second, third = await put(engine, A, B, A)
    last = {A: Kept(A, third, b"\x02"), B: Kept(B, second, b"\x01")}
    await any_node(engine, lambda: engine.lasts(LOG, [A, B, "chez.log.0.s.cc"]), (last, third))
    await any_node(engine, lambda: engine.lasts(LOG, ["chez.log.0.s.*"], count=9), (last, third))
    await any_node(engine, lambda: engine.lasts(LOG, [B]), ({B: last[B]}, third))
    await any_node(engine, lambda: engine.lasts(LOG, ["chez.log.0.s.cc"]), ({}, 0))


async def test_more_last_messages_than_an_answer_has_are_refused(engine: Engine) -> None:
    """1,024 are given, one more makes it none."""
    await asyncio.gather(*(engine.publish(f"chez.log.0.gone.{number}.x", b"") for number in range(1024)))

    async def count() -> int:
        return len((await engine.lasts(LOG, ["chez.log.0.gone.>"], count=2000))[0])

    await any_node(engine, count, 1024)
    await engine.publish("chez.log.0.gone.more.x", b"")
    for _ in range(100):
        try:
            await count()
        except Unavailable:
            break
        await asyncio.sleep(0.05)
    with pytest.raises(Unavailable, match="413"):
        await count()


async def test_what_is_purged_is_of_its_subject_and_before_its_sequence(engine: Engine) -> None:
    """With a wildcard, of all that it names; what is not there is purged, and deleted, without a word."""
    found = await put(engine, A, B, A, A, "chez.log.0.gone.aa.bb")
    await engine.purge(LOG, A, below=found[3])
    assert await seqs(engine, ">") == [found[1], *found[3:]]
    await engine.purge(LOG, "chez.log.0.s.*")
    assert await seqs(engine, ">") == found[4:]
    await engine.purge(LOG, A)
    await engine.delete(LOG, found[0])
    await engine.delete(LOG, found[4] + 1)
    assert await seqs(engine, ">") == found[4:]
    for gone in (found[0], found[4] + 1):
        answer = await engine.api(f"STREAM.MSG.DELETE.{LOG}", {"seq": gone, "no_erase": True})
        assert answer["error"]["err_code"] == 10057


async def test_a_message_that_was_deleted_is_deleted_again_without_a_word(engine: Engine) -> None:
    """After one that is there yet, before them all, and the only one: of each the cluster says something else."""
    found = await put(engine, A, B, A, A, B)
    for at, code in ((2, 10043), (0, 10057), (4, 10043), (1, 10057), (3, 10057)):
        await engine.delete(LOG, found[at])
        await engine.delete(LOG, found[at])
        answer = await engine.api(f"STREAM.MSG.DELETE.{LOG}", {"seq": found[at], "no_erase": True})
        assert answer["error"]["err_code"] == code


async def test_an_inbox_has_one_message_under_each_subject(engine: Engine) -> None:
    """The new one replaces the one before."""
    await engine.publish("chez.box.0.s.aa", b"1")
    second = await engine.publish("chez.box.0.s.aa", b"2")
    item = await engine.publish("chez.box.0.i.aa.bb.cc", b"3")
    assert await seqs(engine, ">", BOX) == [second, item]


async def test_a_message_with_a_time_goes_when_that_is_over(cluster: Reached) -> None:
    """The one beside it stays; where a stream has no times, such a message is refused."""
    async with emptied(cluster) as store:
        engine = store.engine
        with pytest.raises(Unavailable):
            await engine.publish(A, b"1", ttl=1)
        await engine.publish("chez.box.0.s.aa", b"1", ttl=1)
        stays = await engine.publish("chez.box.0.s.bb", b"1", ttl=3600)
        assert await engine.exists("chez.box.0.s.aa")
        if isinstance(cluster, Modelled):
            cluster.now += 1
        async with asyncio.timeout(20):
            while await engine.exists("chez.box.0.s.aa"):  # noqa: ASYNC110 (nothing announces it)
                await asyncio.sleep(0.1)
        assert await seqs(engine, ">", BOX) == [stays]
        assert await engine.publish("chez.box.0.s.aa", b"2", expected=0) > stays


async def test_what_is_stored_is_told_to_who_listens(engine: Engine) -> None:
    """With its subject and sequence, in the order in which it was stored; what is refused, or of another kind, is not.
    """
    told: asyncio.Queue[tuple[str, str, bytes]] = asyncio.Queue()

    async def heard(message: Msg) -> None:
        headers = message.headers or {}
        told.put_nowait((headers["Nats-Subject"], headers["Nats-Sequence"], message.data))

    end = await engine.hear("chez.news.aa", heard)
    await engine.newest(A)  # the node that listens has heard of it by then
    await put(engine, B, "chez.log.0.gone.aa.bb")
    with pytest.raises(Conflict):
        await engine.publish(A, b"0", expected=9)
    stored = [await engine.publish(A, bytes((number,))) for number in range(3)]
    item = await engine.publish("chez.box.0.s.aa", b"box")
    async with asyncio.timeout(20):
        got = [await told.get() for _ in range(4)]
    assert sorted(got) == sorted([*((A, str(seq), bytes((at,))) for at, seq in enumerate(stored)),
                                      ("chez.box.0.s.aa", str(item), b"box")])
    assert [one for one in got if one[0] == A] == [(A, str(seq), bytes((at,))) for at, seq in enumerate(stored)]
    await end()
    await engine.publish(A, b"unheard")
    assert told.empty()


async def test_what_a_stream_is_and_takes_is_told(engine: Engine) -> None:
    """Its messages and their bytes; of one that is not there, that it is not."""
    before = (await engine.api(f"STREAM.INFO.{LOG}"))["state"]
    assert before["messages"] == 0
    await put(engine, A, B, size=1000)
    after = await engine.api(f"STREAM.INFO.{LOG}")
    assert after["state"]["messages"] == 2 and 2000 < after["state"]["bytes"] - before["bytes"] < 2400
    assert after["config"]["subjects"] == ["chez.log.0.>"] and after["cluster"]["leader"]
    for name in ("STREAM.INFO", "STREAM.PURGE", "STREAM.MSG.GET", "STREAM.MSG.DELETE"):
        wanted = {"filter": ">"} if name == "STREAM.PURGE" else {"seq": 1}
        answer = await engine.api(f"{name}.chez_nothing", wanted if name != "STREAM.INFO" else None)
        assert answer["error"]["err_code"] == 10059


async def test_nobody_answers_where_no_stream_is(engine: Engine) -> None:
    """A publication on another subject is not stored, and that is heard at once."""
    async with asyncio.timeout(1.5):
        for expected in (None, 0):
            with pytest.raises(Unavailable, match="nothing of JetStream answers"):
                await engine.publish("chez.nothing", b"1", expected=expected)


async def test_a_node_that_leads_lets_another_one_lead(cluster: Reached, engine: Engine) -> None:
    """All that it led others to store is there, and more is stored; asked again at once, nobody lets go."""
    seq, = await put(engine, A)
    before = await leader(engine)
    await engine.unseat(LOG)
    after = await patiently(engine, lambda: leader(engine))
    assert isinstance(cluster, Modelled) or after != before
    assert await patiently(engine, lambda: seqs(engine, A)) == [seq]
    assert await patiently(engine, lambda: put(engine, B)) == [seq + 1]
    await engine.unseat(LOG)
    assert await leader(engine) == after
