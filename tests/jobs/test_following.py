"""Taking results: whatever breaks, and wherever, nothing is lost and nothing is there twice without showing it."""

import asyncio
import json
import os
import resource
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.crypto import SigningKey
from chez.errors import InvalidValue, NotARelay, RelayUnreachable, StorageFailed
from chez.inboxes import InboxItem
from chez_sandbox.bundle import Bundle
from chez_sandbox.job_errors import HookFailed
from chez_sandbox.provider.following import Taking, take_results
from chez_sandbox.provider.hook import Hook
from chez_sandbox.provider.results import BEGINNING, Kept, Place, ResultBook
from chez_sandbox.release.release import Address, build_message
from tests.jobs.messages import BUNDLE, KEYS, message
from tests.jobs.samples import RESULT
from tests.jobs.test_grants import bundle
from tests.tries import tries

NOW = datetime(2026, 11, 24, tzinfo=UTC)
INTEGER = 'type = "integer"\nminimum = 0\nmaximum = 10000\nmultipleOf = 10\n'


class Killed(BaseException):
    """The process ends here, as by `kill -9`."""


class World:
    """A relay's inbox and a provider's hook, both of which outlive the process; `fail` says what breaks when."""

    def __init__(self, items: list[bytes], fail: Callable[[str], None]) -> None:
        self.items = dict(enumerate(items, start=1))
        self.hooked: list[str] = []
        self.told: list[str] = []
        self.fail = fail

    @asynccontextmanager
    async def inbox(self) -> AsyncIterator["World"]:
        """Connect."""
        self.fail("connect")
        yield self

    async def __aiter__(self) -> AsyncIterator[InboxItem]:
        for number, item in list(self.items.items()):
            self.fail("item")
            yield InboxItem(number, item)
        await asyncio.Event().wait()

    async def ack(self, number: int) -> None:
        """Forget, and perhaps say so."""
        self.fail("before ack")
        self.items = {key: item for key, item in self.items.items() if key > number}
        self.fail("after ack")

    def post(self, key: str, body: bytes) -> None:
        """Take a result, and perhaps say so."""
        self.fail("before post")
        assert json.loads(body)["id"] == key
        self.hooked.append(key)
        self.fail("after post")


class Told:
    """A sink behind the hook, which hears of what is durable: it must be."""

    def __init__(self, world: World, book: ResultBook) -> None:
        self.world, self.book, self.place = world, book, BEGINNING

    async def take(self) -> None:
        """What is in the book more is with the hook."""
        for line in self.book.lines(self.place):
            self.world.fail("taken")
            assert line.value["outcome"] == "invalid" or line.value["id"] in self.world.hooked
            self.world.told.append(line.value["id"])
            self.place = line.end

    def due(self) -> None:
        """Never."""

    async def close(self) -> None:
        """Nothing is left."""


async def _no_sleep(seconds: float) -> None:
    await asyncio.sleep(0)


async def life(
    world: World, path: Path, *, attempts: int | None = 1, wait: float | None = 0.0,
    held: Sequence[Bundle] = (BUNDLE,), shown: Callable[[Kept], None] = lambda _: None,
) -> int:  # fmt: skip
    """One life of the process, from its start to its end."""
    with ResultBook(path, KEYS, held) as book:
        hook = Hook(book, world.post, attempts=attempts, said=lambda _: None, sleep=_no_sleep)
        sinks = [hook, Told(world, book)]
        taking = Taking(book, sinks, lambda: NOW, shown, lambda _: None, _no_sleep)
        return await take_results(world.inbox, taking, wait)


def lines(path: Path) -> list[dict[str, object]]:
    """What is in the file."""
    return [json.loads(line) for line in path.read_bytes().splitlines() if line]


PLACES = ("connect", "item", "before post", "after post", "taken", "before ack", "after ack")


@settings(max_examples=tries(40))
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.integers(0, 4), st.booleans()), max_size=8),
       st.lists(st.integers(1, 4), max_size=6))  # fmt: skip
def test_whatever_kills_it_each_result_arrives(ends: list[tuple[str, int, bool]], sent: list[int]) -> None:
    """Killed or cut off anywhere, each message is one line, reaches the hook, and only then leaves the relay."""
    ends = list(ends)

    def fail(place: str) -> None:
        if ends and ends[0][0] == place:
            where, count, kill = ends.pop(0)
            if count:
                ends.insert(0, (where, count - 1, kill))
            else:
                raise Killed if kill else RelayUnreachable("cut") if "post" not in place else HookFailed("no")

    items = [message(sequence) for sequence in sent] + [b"rubbish"]
    world = World(items, fail)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "results.jsonl"
        for _ in range(len(ends) + 1):
            try:
                asyncio.run(life(world, path))
                if not world.items:
                    break
            except (Killed, RelayUnreachable, HookFailed):
                continue
        else:
            ends.clear()
            asyncio.run(life(world, path))
        kept = lines(path)
        results = [line["id"] for line in kept if line["outcome"] == "result"]
        assert len(kept) == len(results) + 1 and len(set(results)) == len(results) == len(set(sent))
        assert list(dict.fromkeys(world.hooked)) == results and set(results) < set(world.told) and not world.items


async def test_a_hook_that_refuses_keeps_the_result_at_the_relay(tmp_path: Path) -> None:
    """What the hook does not take is not acknowledged, and the error says so after as many attempts as allowed."""
    world, tries = World([message(1)], lambda _: None), 0

    def refuse(place: str) -> None:
        nonlocal tries
        if place == "before post":
            tries += 1
            raise HookFailed("the hook answered 500")

    world.fail = refuse
    with pytest.raises(HookFailed):
        await life(world, tmp_path / "results.jsonl", attempts=3)
    assert (tries, len(world.items), len(lines(tmp_path / "results.jsonl"))) == (3, 1, 1)
    world.fail = lambda _: None
    assert await life(world, tmp_path / "results.jsonl") == 0  # no new line: the hook gets the one there is
    assert len(world.hooked) == 1 and not world.items


async def test_following_outlives_the_relay(tmp_path: Path) -> None:
    """A relay that goes is tried again and again; another thing in its place is an error at once."""
    cuts = ["connect", "item", "before ack", "connect", "connect"]

    def fail(place: str) -> None:
        if cuts and cuts[0] == place:
            cuts.pop(0)
            raise RelayUnreachable("cut")
        if place == "connect" and not world.items:
            raise NotARelay("a login page")
        if place == "after ack" and not world.items:
            raise RelayUnreachable("cut")

    world = World([message(1), message(2)], fail)
    with pytest.raises(NotARelay):
        await life(world, tmp_path / "results.jsonl", attempts=None, wait=None)
    assert len(set(world.hooked)) == 2 and not cuts


async def test_who_ends_it_as_it_ends_a_wait_is_heard(tmp_path: Path) -> None:
    """Ctrl-C that comes while the relay is no more waited for ends it, as at any other moment."""
    ending, ended = asyncio.Event(), asyncio.Event()

    class Slow:
        def __aiter__(self) -> AsyncIterator[InboxItem]:
            return self

        async def __anext__(self) -> InboxItem:
            try:
                await asyncio.Event().wait()
            finally:
                ending.set()
                await ended.wait()
            raise AssertionError("nothing comes")

        async def ack(self, number: int) -> None:
            """Nothing came."""

    @asynccontextmanager
    async def inbox() -> AsyncIterator[Slow]:
        yield Slow()

    with ResultBook(tmp_path / "results.jsonl", KEYS) as book:
        run = asyncio.create_task(take_results(
            inbox, Taking(book, [], lambda: NOW, lambda _: None, lambda _: None), 0.0))
        await ending.wait()
        run.cancel()
        ended.set()
        await asyncio.wait([run])
    assert run.cancelled()


def test_a_grant_has_one_consent(tmp_path: Path) -> None:
    """A message that names another consent than those before it of its grant is no result, also after a restart."""
    path = tmp_path / "results.jsonl"
    for sequence, consent, outcome in ((1, 5, "result"), (2, 6, "invalid"), (3, 5, "result")):
        with ResultBook(path, KEYS, [BUNDLE]) as book:
            kept = book.keep(message(sequence, consent=bytes([consent]) * 32), NOW)
            assert (kept.line["outcome"], kept.release is None) == (outcome, outcome == "invalid")


def test_a_result_has_one_spelling(tmp_path: Path) -> None:
    """Whoever has the bundle can write a message, and a result that no device would have written so is none: the
    schema counts what may be told, and not how it is spelt, nor how long the message is. One that says "none" is so."""
    spellings = [b'{"watts": 300}', b'{"watts":3e2}', b'{"watts":305}', b'{"watts":300}']
    with ResultBook(tmp_path / "results.jsonl", KEYS, [BUNDLE]) as book:
        kept = [book.keep(message(number, result=said), NOW).line for number, said in enumerate(spellings, 1)]
        wide = bundle(rest=RESULT.replace(INTEGER, 'type = "array"\nmaxItems = 500\nitems = { type = "null" }\n'))
        address, pseudonym = Address(KEYS.sealing.public, KEYS.inbox), SigningKey.from_seed(bytes([8]) * 32)
        long = build_message(
            wide.manifest.schema, address, pseudonym, grant=bytes(16), sequence=5, run_date=NOW.date(),
            bundle=BUNDLE.hash, consent=bytes(32), result=b'{"watts":300}',
        )  # fmt: skip
        assert "of its job" in book.keep(long, NOW).line["problem"]
        assert book.keep(message(6, result=None), NOW).line["outcome"] == "none"
    assert [one["outcome"] for one in kept] == ["invalid", "invalid", "invalid", "result"]
    assert not any("bundle" in one for one in kept[:3])  # none waits for a bundle, and so has the room of those
    assert (kept[3]["job"], kept[3]["version"]) == ("mean-power", 1)


def test_a_message_of_a_bundle_that_is_not_held_is_no_result_until_it_is(tmp_path: Path) -> None:
    """Beside bundles that are given, a message of another one is set aside, whatever is in it, and reaches no hook;
    given later, its bundle makes a result of it, once, with the time it came, if it fits."""
    path, hooked = tmp_path / "results.jsonl", list[str]()
    other = bundle(job="another-job")
    items = [message(1), message(2, of=other), message(3, of=other, result=b'{"anything":"x"}')]

    def taken(*held: Bundle, day: int) -> list[dict[str, object]]:
        with ResultBook(path, KEYS, held) as book:
            for item in items if day < 3 else []:
                book.keep(item, NOW.replace(day=day))
            asyncio.run(Hook(book, lambda key, body: hooked.append(key), attempts=1, said=lambda _: None).take())
            return [line.value for line in book.lines(BEGINNING)]

    first = taken(BUNDLE, day=1)
    assert [one["outcome"] for one in first] == ["result", "invalid", "invalid"] and hooked == [first[0]["id"]]
    assert other.hash.hex() in str(first[1]["problem"])
    assert taken(BUNDLE, day=2) == first
    for day in (3, 4):
        late = taken(BUNDLE, other, day=day)
        assert late[:3] == first and [(one["job"], one["received"]) for one in late[3:]] == [
            ("another-job", first[0]["received"])
        ]
    assert hooked == [first[0]["id"], late[3]["id"]]


async def test_what_a_bundle_that_is_given_later_makes_a_result_is_shown_as_new(tmp_path: Path) -> None:
    """A message that waited for its bundle is shown once, and counted, when that is given: before what comes then."""
    path, other, shown = tmp_path / "results.jsonl", bundle(job="another-job"), list[Kept]()
    world = World([message(1, of=other), message(2)], lambda place: None)
    for held, count in (((BUNDLE,), 2), ((BUNDLE, other), 1), ((BUNDLE, other), 0)):
        assert await life(world, path, held=held, shown=shown.append) == count
    assert [(one.line["outcome"], one.line.get("job")) for one in shown] == [
        ("invalid", None), ("result", "mean-power"), ("result", "another-job")]  # fmt: skip


def test_a_result_that_nests_deeper_than_any_schema_is_none(tmp_path: Path) -> None:
    """Held against no schema, a result of many levels is no line that some readers find and others pass over: what is
    there is there for whoever reads, from however deep in the interpreter, and nothing is kept twice."""
    wide = bundle(rest=RESULT.replace(INTEGER, 'type = "array"\nmaxItems = 500\nitems = { type = "null" }\n'))
    items = [message(depth, result=b"[" * depth + b"]" * depth, of=wide) for depth in (9, 10, 930, 960)]
    items += [message(20 + depth, result=b'{"a":' * depth + b"1" + b"}" * depth, of=wide) for depth in (8, 9)]
    path = tmp_path / "results.jsonl"
    with ResultBook(path, KEYS) as book:
        assert [book.keep(item, NOW).line["outcome"] for item in items] == [
            "result", *["invalid"] * 3, "result", "invalid"]  # fmt: skip

    def read(frames: int) -> list[bool]:
        if frames:
            return read(frames - 1)
        with ResultBook(path, KEYS) as book:
            assert sum(1 for _ in book.lines(BEGINNING)) == len(items)
            return [book.keep(item, NOW).new for item in items]

    assert read(100) == [False] * len(items)


def test_what_is_no_result_fills_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has a bundle may send anything: of so much the bytes are kept, across restarts, and of what comes then
    that it came and why it is none. Messages of bundles that may yet be given have a room of their own."""
    path, other = tmp_path / "results.jsonl", bundle(job="another-job")
    monkeypatch.setattr("chez_sandbox.provider.results.MAX_USELESS", 250)
    for number in range(4):
        with ResultBook(path, KEYS, [BUNDLE]) as book:
            assert book.keep(bytes([number]) * 100, NOW).new
            assert "item" in book.keep(message(number + 1, of=other), NOW).line
            assert book.keep(message(number + 1), NOW).release
            invalid = [one.value for one in book.lines(BEGINNING)
                       if one.value["outcome"] == "invalid" and "bundle" not in one.value]
            assert ["item" in one for one in invalid] == [True, True, False, False][: number + 1]
            assert all(one["problem"] for one in invalid)


def test_what_is_kept_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay forgets what is kept: each line is written through before that is said, and the file's name before."""
    path, synced, sync = tmp_path / "results.jsonl", list[tuple[int, int]](), os.fsync

    def noted(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, path.stat().st_size))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    with ResultBook(path, KEYS, [BUNDLE]) as book:
        assert synced == [(tmp_path.stat().st_ino, 0)]
        for number in (1, 2):
            book.keep(message(number), NOW)
            assert synced[number:] == [(path.stat().st_ino, path.stat().st_size)]


def test_a_disk_that_takes_a_part_of_a_line_has_not_taken_it(tmp_path: Path) -> None:
    """Where there is room for a part of a result it is not kept, so that the relay keeps it; with room again it is one
    line, and so is what comes after. A line of which a crash cut only the end is there, and is not written again."""
    path = tmp_path / "results.jsonl"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with ResultBook(path, KEYS, [BUNDLE]) as book:
        book.keep(message(1), NOW)
        for room in (1, 100, len(path.read_bytes()) - 1):
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(path.read_bytes()) + room, before[1]))
            try:
                with pytest.raises(StorageFailed, match="large"):
                    book.keep(message(2), NOW)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert book.keep(message(2), NOW).new and book.keep(message(3), NOW).new
        assert [line.value["sequence"] for line in book.lines(BEGINNING)] == [1, 2, 3]
    path.write_bytes(path.read_bytes()[:-1])
    with ResultBook(path, KEYS, [BUNDLE]) as book:
        assert not book.keep(message(3), NOW).new and book.keep(message(4), NOW).new
        assert [line.value["sequence"] for line in book.lines(BEGINNING)] == [1, 2, 3, 4]


def test_a_place_is_of_one_file(tmp_path: Path) -> None:
    """A place in another file, beyond the end, or within a line is refused; a cut line is passed over."""
    path = tmp_path / "results.jsonl"
    with ResultBook(path, KEYS, [BUNDLE]) as book:
        for sequence in (1, 2):
            book.keep(message(sequence), NOW)
        first, second = book.lines(BEGINNING)
        assert [line.value["sequence"] for line in book.lines(first.end)] == [2] and not list(book.lines(second.end))
        for wrong in (Place(first.end.offset, second.end.mark), Place(second.end.offset + 1, second.end.mark),
                      Place(first.end.offset - 1, first.end.mark), Place(-1, "")):  # fmt: skip
            with pytest.raises(InvalidValue):
                list(book.lines(wrong))
        with pytest.raises(StorageFailed, match="another chez-job results"), ResultBook(path, KEYS):
            pass
    with path.open("ab") as file:
        file.write(b'{"id": "cut')
    with ResultBook(path, KEYS, [BUNDLE]) as book:
        assert book.keep(message(3), NOW).new and not book.keep(message(1), NOW).new
        assert [line.value["sequence"] for line in book.lines(first.end)] == [2, 3]
