"""`chez.doctor` on homes that were really damaged: found, told, and cured at the least loss."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import Damaged, HomeBusy
from chez.home import examine
from chez.home.assembly import unix_milliseconds
from chez.home.examine import Finding
from chez.records.diff import first_change
from chez.records.encode import encode_fields
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection
from chez.store.file import connect
from chez.store.keyfile import read_key
from chez.sync.entry import CHANGE, CHANGES, Inner, Item, seal, sign_entry
from tests.home.conftest import PASSPHRASE
from tests.home.test_import_twice import Pair, everything, pair

__all__ = ("pair",)

PAGE = 4096


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with some of everything, to be copied and damaged."""
    path = tmp_path_factory.mktemp("template") / "home"

    async def make() -> None:
        await chez.create(path, passphrase=PASSPHRASE, kdf=Kdf.minimum())
        async with chez.open(path, passphrase=PASSPHRASE) as home:
            notes = home.collection("notes")
            await notes.put_many([{"n": n, "pad": f"{n}" * 40, "list": [n]} for n in range(300)],
                                 ids=[f"{n:03d}" for n in range(300)])
            for number in range(220):  # a snapshot
                await notes.put({"n": number}, id="long")
                if number % 90 == 0:
                    await home._database.write(home._replica.author.collect)
            await home._database.write(home._replica.author.collect)
            await notes.put({"n": "unsent"}, id="long")
            await notes.put({"unsent": True}, id="new")
            for id in ("deleted", "purged"):
                await notes.put({"n": 1}, id=id)
                await notes.delete(id)
            await notes.purge("purged")

    asyncio.run(make())
    return path.rename(path.with_name("kept"))  # a copy of what is elsewhere by now is none


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(template, tmp_path / "home")
    return tmp_path / "home"


async def held(path: Path) -> dict[tuple[str, str], Any]:
    """What a home holds; its store is sound."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        return await everything(home)


def harm(path: Path, work: Callable[[Connection], Any]) -> None:
    """Change the store behind Chez's back."""
    db = connect(path / "chez.db", read_key(path, PASSPHRASE))
    db.execute("PRAGMA foreign_keys = OFF")
    work(db)
    db.close()


async def cured(path: Path, **options: bool) -> chez.Diagnosis:
    """Examine, mend, and find nothing any more."""
    found = await chez.doctor(path, passphrase=PASSPHRASE)
    assert not found.sound and found.done == ()
    assert all(one.meaning and one.cure and one.where for one in found.findings)
    mended = await chez.doctor(path, passphrase=PASSPHRASE, **(options or {"repair": True}))
    assert mended.done and mended.left == ()
    after = await chez.doctor(path, passphrase=PASSPHRASE)
    assert after.sound, after
    return mended


async def test_a_sound_home(home: Path) -> None:
    """Nothing is found, and repairing it changes nothing."""
    before = (home / "chez.db").read_bytes()
    for repair in (False, True):
        diagnosis = await chez.doctor(home, passphrase=PASSPHRASE, repair=repair)
        assert diagnosis == chez.Diagnosis(())
    assert (home / "chez.db").read_bytes() == before


async def test_what_is_round_a_home_is_told_and_is_no_harm(
        home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is nearly full, and a clock that is far behind the journal, by whoever examines."""
    usage = shutil.disk_usage(home)
    assert {one.kind for one in (await chez.doctor(home, passphrase=PASSPHRASE)).findings} == set()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=20 << 20))
        patch.setattr("chez.home.diagnosis.unix_milliseconds", lambda: 1_000_000_000_000)
        patch.setattr("chez.home.home.unix_milliseconds", lambda: 1_000_000_000_000)
        found = await chez.doctor(home, passphrase=PASSPHRASE, repair=True)
        assert [one.kind for one in found.findings] == ["disk", "clock"] and found.sound and not found.done
        assert "20 MiB" in found.findings[0].meaning and "2001-09-09 01:46" in found.findings[1].meaning
        async with chez.open(home, passphrase=PASSPHRASE) as opened:
            assert "disk" in [one.kind for one in await opened.examine()]
    async with chez.open(home, passphrase=PASSPHRASE) as opened:
        with monkeypatch.context() as patch:  # of a minute nothing is said
            patch.setattr("chez.home.diagnosis.unix_milliseconds", lambda: unix_milliseconds() - 60_000)
            await opened.journal.append("note", {})
            assert (await chez.doctor(home, passphrase=PASSPHRASE)).findings == ()
    harm(home, lambda db: db.execute("UPDATE receipt SET time = 'never'"))
    assert [one.kind for one in (await chez.doctor(home, passphrase=PASSPHRASE)).findings] == ["journal"]


DAMAGES: dict[str, tuple[str, str]] = {
    "projection": ("""UPDATE record SET json = '{"n":999}' WHERE id = '007'""", "projection"),
    "another kind": ("""UPDATE record SET json = replace(json, '"n":7', '"n":7.0') WHERE id = '007'""", "projection"),
    "true": ("""UPDATE record SET json = replace(json, '"n":1,', '"n":true,') WHERE id = '001'""", "projection"),
    "no json": ("UPDATE record SET json = 'nonsense' WHERE id = '007'", "projection"),
    "deleted": ("UPDATE record SET deleted = 1 WHERE id = '007'", "projection"),
    "field": ("DELETE FROM field WHERE name = 'list'", "projection"),
    "change": ("UPDATE change SET bytes = x'00' WHERE record = (SELECT n FROM record WHERE id = '007')", "record"),
    "flipped": ("UPDATE change SET bytes = unhex(replace(hex(bytes), hex('7777'), hex('7737')))", "record"),
    "snapshot": ("UPDATE snapshot SET doc = substr(doc, 1, 50)", "record"),
    "no snapshot": ("DELETE FROM snapshot", "record"),
    "unsent": ("UPDATE change SET bytes = x'00' WHERE record = (SELECT n FROM record WHERE id = 'new')", "record"),
    "unsent later": ("UPDATE change SET bytes = x'00' WHERE state = 1 AND bytes IS NOT NULL", "record"),
    "unsent gone": ("UPDATE change SET bytes = NULL WHERE record = (SELECT n FROM record WHERE id = 'new')", "outbox"),
    "in no entry": ("UPDATE change SET entry = NULL WHERE record = (SELECT n FROM record WHERE id = '007')", "outbox"),
    "entry": ("UPDATE entry SET inner = x'00' WHERE sequence = 2", "entry"),
    "swapped": ("UPDATE entry SET inner = (SELECT inner FROM entry WHERE sequence = 3) WHERE sequence = 2", "entry"),
    "no entry": ("DELETE FROM entry WHERE sequence = 2", "store"),
    "tombstone": ("UPDATE change SET bytes = x'00' WHERE record = (SELECT n FROM record WHERE deleted = 3)", "outbox"),
    "no entries": ("DELETE FROM entry", "store"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGES)
async def test_damage_inside_the_store(home: Path, name: str) -> None:
    """Rows changed behind Chez's back are found and told, and after the repair every record is as it was."""
    before = await held(home)
    sql, kind = DAMAGES[name]
    harm(home, lambda db: db.execute(sql))
    found = await chez.doctor(home, passphrase=PASSPHRASE)
    assert kind in {finding.kind for finding in found.findings}
    await cured(home)
    assert await held(home) == before
    async with chez.open(home, passphrase=PASSPHRASE) as again:
        purged = again.collection("notes").put({"n": 1}, id="purged")
        with pytest.raises(chez.ChezError):
            await purged
        assert (await again.journal.receipts("repaired")) and (await again.journal.verify()).ok
        await again.collection("notes").put({"n": 1}, id="007")
        await again._database.write(again._replica.author.collect)


async def test_everything_is_made_again_from_the_log(home: Path) -> None:
    """--rebuild: all projections, snapshots and rows of changes are gone, and every record comes back."""
    before = await held(home)

    def wipe(db: Connection) -> None:
        db.execute("DELETE FROM change WHERE state = 0")
        db.execute("DELETE FROM snapshot")
        db.execute("DELETE FROM field")
        db.execute("UPDATE record SET json = '{}' WHERE id NOT IN ('new', 'deleted')")

    harm(home, wipe)
    await cured(home, rebuild=True)
    after = await held(home)
    # What was not sent is in no entry: of this record only what was in one is left.
    assert {**after, ("notes", "long"): None} == {**before, ("notes", "long"): None}


def test_what_is_wrong_still_is_told_apart() -> None:
    """Nothing where all was mended; neither a copy in use nor a forged journal is, unless it is another device now."""
    found = tuple(Finding(kind, "there", "it is wrong", "do so", harm=kind != "disk")
                  for kind in ("record", "copy", "journal", "disk"))
    assert chez.Diagnosis(found).left == found[:3]
    assert chez.Diagnosis(found, ("this",)).left == found[1:3]
    assert chez.Diagnosis(found, ("this",), renewed=True).left == found[2:3]


async def test_what_was_mended_is_told_whatever_keeps_the_rest_from_being_read_again(
        home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another command that has the home open by then is no reason to hear nothing of what was done."""
    @asynccontextmanager
    async def busy(*_: object, **__: object) -> AsyncIterator[chez.Home]:
        raise HomeBusy("process 7 has this home open")
        yield

    harm(home, lambda db: db.execute("DELETE FROM entry WHERE sequence = (SELECT max(sequence) FROM entry)"))
    monkeypatch.setattr("chez.home.diagnosis.open", busy)
    mended = await chez.doctor(home, passphrase=PASSPHRASE, repair=True)
    assert len(mended.done) > 1 and "could not be read again (process 7 has this home open)" in mended.done[-1]


async def test_the_journal_is_evidence(home: Path) -> None:
    """A journal that does not verify is told, and nothing pretends to mend it."""
    harm(home, lambda db: db.execute("""UPDATE receipt SET body = '{"forged":1}'"""))
    for repair in (False, True):
        (finding,) = (await chez.doctor(home, passphrase=PASSPHRASE, repair=repair)).findings
        assert finding.kind == "journal"


@pytest.mark.parametrize("sound", [True, False])
async def test_a_mended_home_tells_that_its_journal_did_not_verify(home: Path, sound: bool) -> None:
    """Where what else is damaged makes it another device, nobody compares the former one's last receipts any more."""
    if not sound:
        harm(home, lambda db: db.execute("""UPDATE receipt SET body = '{"forged":1}'"""))
    harm(home, lambda db: db.execute("UPDATE entry SET inner = x'00' WHERE n = (SELECT max(n) FROM entry)"))
    mended = await chez.doctor(home, passphrase=PASSPHRASE, repair=True)
    assert mended.renewed and [one.kind for one in mended.left] == ([] if sound else ["journal"])
    async with chez.open(home, passphrase=PASSPHRASE) as opened:
        (receipt,) = await opened.journal.receipts("repaired")
        assert receipt.body.get("journal") == (None if sound else "not verified")


async def test_lost_keys(home: Path) -> None:
    """Without its keys a home is nothing: a typed error says where to go, and nothing is changed."""
    harm(home, lambda db: db.execute("DELETE FROM meta WHERE key = 'device.signing'"))
    assert (await chez.doctor(home, passphrase=PASSPHRASE)).findings[0].kind == "keys"
    with pytest.raises(Damaged) as caught:
        await chez.doctor(home, passphrase=PASSPHRASE, repair=True)
    assert "backup" in caught.value.hint


async def test_keys_that_nobody_certified_are_told_as_lost(home: Path) -> None:
    """They are whole, and no device of the person has them: what it wrote with them would be set aside everywhere."""
    harm(home, lambda db: db.execute("UPDATE meta SET value = zeroblob(32) WHERE key = 'device.signing'"))
    (found,) = (await chez.doctor(home, passphrase=PASSPHRASE)).findings
    assert found.kind == "keys" and "certifies" in found.meaning
    with pytest.raises(Damaged):
        await chez.doctor(home, passphrase=PASSPHRASE, repair=True)


async def test_what_is_another_devices_is_not_sent_as_this_ones(home: Path) -> None:
    """A change that waits and that another device made: every device would set it aside, and all that follows it."""
    other = first_change(b"o" * 32, {"unsent": True}, None, 1)
    harm(home, lambda db: db.execute("UPDATE change SET bytes = ?, hash = ? WHERE record = "
                                     "(SELECT n FROM record WHERE id = 'new')", (other.bytes, other.hash)))
    (found,) = (await chez.doctor(home, passphrase=PASSPHRASE)).findings
    assert found.kind == "outbox" and "another device's" in found.meaning
    await cured(home)
    async with chez.open(home, passphrase=PASSPHRASE) as opened:
        entries = await opened._database.write(opened._replica.author.collect)
        assert not any(other.bytes in item.data for _, entry in entries for item in entry.inner.items)


@pytest.mark.parametrize("rebuild", [False, True])
async def test_what_was_made_again_is_found_by_its_words(home: Path, rebuild: bool) -> None:
    """A full-text index that lost what it had is built anew: it refused whatever was written in the records, also by
    the repair, which failed."""
    async with chez.open(home, passphrase=PASSPHRASE) as opened:
        texts = opened.collection("texts", search=("text",))
        for id in ("a", "b"):
            await texts.put({"text": "tea"}, id=id)
        assert len(await texts.search("tea")) == 2

    def damage(db: Connection) -> None:
        db.execute("INSERT INTO \"search 1\" (\"search 1\") VALUES ('delete-all')")
        if not rebuild:
            db.execute("UPDATE record SET json = json_set(json, '$.other', 1) WHERE id = 'a'")

    harm(home, damage)
    await (chez.doctor(home, passphrase=PASSPHRASE, rebuild=True) if rebuild else cured(home))
    async with chez.open(home, passphrase=PASSPHRASE) as opened:
        found = await opened.collection("texts", search=("text",)).search("tea")
        assert sorted(hit.record.id for hit in found) == ["a", "b"]


@pytest.mark.parametrize("damage", [
    "INSERT INTO \"search 1\" (\"search 1\") VALUES ('delete-all')",
    ("INSERT INTO \"search 1\" (\"search 1\", rowid, c0) SELECT 'delete', n, 'tea' FROM record WHERE id = 'a'; "
     "INSERT INTO \"search 1\" (rowid, c0) SELECT n, 'milk' FROM record WHERE id = 'a'"),
    ("INSERT INTO \"search 1\" (\"search 1\", rowid, c0) SELECT 'delete', n, iif(id = 'a', 'tea', 'tea with milk') "
     "FROM record WHERE id IN ('a', 'b'); "
     "INSERT INTO \"search 1\" (rowid, c0) SELECT n, iif(id = 'b', 'tea', 'tea with milk') "
     "FROM record WHERE id IN ('a', 'b')"),
    *(pytest.param(damage, marks=pytest.mark.slow) for damage in (
        "INSERT INTO \"search 1\" (\"search 1\", rowid, c0) SELECT 'delete', n, 'tea' FROM record WHERE id = 'a'",
        "DELETE FROM \"search 1_docsize\" WHERE id = (SELECT n FROM record WHERE id = 'a')",
        "DROP TABLE \"search 1\""))])
async def test_a_full_text_index_that_is_not_of_its_records_is_told(home: Path, damage: str) -> None:
    """It found nothing, what is not there, or elsewhere, or failed; the doctor says so beside an owner, which may write
    meanwhile, and makes it anew."""
    async with chez.open(home, passphrase=PASSPHRASE) as opened:
        texts = opened.collection("texts", search=("text",))
        await texts.put_many([{"text": "tea"} for _ in range(1200)])
        for id, text in (("a", "tea"), ("b", "tea with milk")):
            await texts.put({"text": text}, id=id)
        await texts.search("tea")
        assert (await chez.doctor(home, passphrase=PASSPHRASE)).findings == ()
    harm(home, lambda db: db.executescript(damage))
    async with chez.open(home, passphrase=PASSPHRASE):
        (found,) = (await chez.doctor(home, passphrase=PASSPHRASE)).findings
        assert (found.kind, found.where) == ("search", "the full-text index of 'texts'")
    mended = await chez.doctor(home, passphrase=PASSPHRASE, repair=True)
    assert mended.done == ("full-text indexes are made anew, by the next search",) and not mended.left
    assert (await chez.doctor(home, passphrase=PASSPHRASE)).findings == ()
    async with chez.open(home, passphrase=PASSPHRASE) as opened:
        assert len(await opened.collection("texts", search=("text",)).search("tea", limit=2000)) == 1202
    assert (await chez.doctor(home, passphrase=PASSPHRASE)).findings == ()


async def test_what_is_set_aside_is_told_and_does_no_harm(home: Path) -> None:
    """Quarantined entries are shown with their reasons."""
    harm(home, lambda db: db.execute("INSERT INTO quarantine (space, reason, bytes) VALUES (1, 'it lies', x'00')"))
    diagnosis = await chez.doctor(home, passphrase=PASSPHRASE)
    assert diagnosis.sound and diagnosis.findings[0].meaning == "it lies"


def flip(path: Path, page: int) -> None:
    """Damage one page."""
    with (path / "chez.db").open("r+b") as file:
        file.seek((page - 1) * PAGE + 100)
        byte = file.read(1)[0]
        file.seek((page - 1) * PAGE + 100)
        file.write(bytes((byte ^ 0xFF,)))


def pages(path: Path) -> range:
    """All pages but the first, which holds the salt that everything else needs."""
    return range(2, (path / "chez.db").stat().st_size // PAGE + 1)


async def mended_after(home: Path, page: int, before: dict[tuple[str, str], Any]) -> chez.Diagnosis | None:
    """Damage one page and repair: what is in an entry comes back, and the damaged file stays aside.

    None when that page was one without which nothing is.
    """
    flip(home, page)
    damaged = (home / "chez.db").read_bytes()
    try:
        found = await chez.doctor(home, passphrase=PASSPHRASE)
        assert found.findings[0].kind == "store"
        mended = await chez.doctor(home, passphrase=PASSPHRASE, repair=True)
    except Damaged as error:
        assert "join again" in error.hint  # the keys were there, or the store's own table of contents
        return None
    assert mended.damaged is not None and Path(mended.damaged).read_bytes() == damaged
    after = await chez.doctor(home, passphrase=PASSPHRASE)
    assert all(finding.kind in ("journal", "set-aside") for finding in after.findings), after
    now = await held(home)
    lost = {id for (_, id), value in before.items() if now.get(("notes", id)) != value}
    assert mended.renewed or lost <= {"long", "new"}, (page, lost)
    return mended


@pytest.mark.parametrize("part", [0, 2, 4, *(pytest.param(part, marks=pytest.mark.slow) for part in (1, 3, 5))])
async def test_a_damaged_page(home: Path, part: int) -> None:
    """One page anywhere: that page's records at the most, none that is in an entry, and the rest goes on."""
    before = await held(home)
    here = pages(home)
    await mended_after(home, here[part * len(here) // 6], before)


@pytest.mark.slow
async def test_a_lost_account_is_nothing_to_spend_again(home: Path) -> None:
    """A home that forgot what it had spent becomes a new device: no grant of before runs on it."""
    async with chez.open(home, passphrase=PASSPHRASE) as opened:
        await opened.journal.reserve({"provider": 10.0}, 10.0, "run", {"grant": "g"})
        device = opened.device_id
    root: list[int] = []
    harm(home, lambda db: root.extend(
        page for (page,) in db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'account'")))
    mended = await mended_after(home, root[0], await held(home))
    assert mended is not None and mended.renewed
    async with chez.open(home, passphrase=PASSPHRASE) as opened:
        assert opened.device_id != device


@pytest.mark.exhaustive
@pytest.mark.timeout(900)
async def test_every_page(template: Path, tmp_path: Path) -> None:
    """The same for each page of the file in turn; few of them hold the keys, some this device's own entries."""
    shutil.copytree(template, tmp_path / "home")
    before = await held(tmp_path / "home")
    outcomes = []
    for page in pages(tmp_path / "home"):
        copy = tmp_path / str(page)
        shutil.copytree(tmp_path / "home", copy)
        outcomes.append(await mended_after(copy, page, before))
        shutil.rmtree(copy)
    assert outcomes.count(None) <= len(outcomes) // 5
    assert any(one is not None and one.renewed for one in outcomes)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.slow
async def test_random_pages(home: Path, seed: int) -> None:
    """Several pages at once, anywhere but the first: a sound home or a typed error, and the old file is still there."""
    random = Random(seed)
    for page in random.sample(pages(home), 5):
        flip(home, page)
    damaged = (home / "chez.db").read_bytes()
    try:
        mended = await chez.doctor(home, passphrase=PASSPHRASE, repair=True)
    except Damaged as error:
        assert "join again" in error.hint
        return
    after = await chez.doctor(home, passphrase=PASSPHRASE)
    assert all(finding.kind in ("journal", "set-aside") for finding in after.findings), after
    if mended.damaged is not None:
        assert Path(mended.damaged).read_bytes() == damaged
    async with chez.open(home, passphrase=PASSPHRASE) as again:
        await again.collection("notes").put({"writes": "again"})


@pytest.mark.parametrize("size", [0, 100, PAGE, 10 * PAGE, -PAGE])
async def test_a_truncated_file(home: Path, size: int) -> None:
    """Cut short: a typed error that says what to do, or what is left is saved."""
    whole = (home / "chez.db").read_bytes()
    (home / "chez.db").write_bytes(whole[:size])
    for name in ("chez.db-wal", "chez.db-shm"):
        (home / name).unlink(missing_ok=True)
    try:
        await chez.doctor(home, passphrase=PASSPHRASE, repair=True)
    except chez.ChezError as error:
        assert error.hint
    else:
        assert all(finding.kind in ("journal", "set-aside")
                   for finding in (await chez.doctor(home, passphrase=PASSPHRASE)).findings)


async def test_beside_an_owner(home: Path) -> None:
    """Examining goes beside an owner, and as its own call; mending does not."""
    async with chez.open(home, passphrase=PASSPHRASE) as owner:
        await owner.collection("notes").put({"n": 1})
        assert (await chez.doctor(home, passphrase=PASSPHRASE)).sound
        assert await owner.examine() == []
        with pytest.raises(HomeBusy):
            await chez.doctor(home, passphrase=PASSPHRASE, repair=True)


async def test_what_is_looked_at_beside_an_owner_is_of_one_state(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A space that is erased meanwhile is not one whose keys are lost, for which one is sent to a backup."""
    load, loop, erased = examine.load_space, asyncio.get_running_loop(), list[bool]()
    async with chez.open(home, passphrase=PASSPHRASE) as owner:
        made = await owner.create_space("other")

        def loading(db: Connection, n: int) -> SpaceKeys:
            if not erased:
                erased.append(True)
                asyncio.run_coroutine_threadsafe(made.delete(), loop).result(10)
            return load(db, n)

        monkeypatch.setattr(examine, "load_space", loading)
        assert await owner.examine() == [] and erased
        assert await owner.examine() == []


@pytest.fixture
async def met(pair: Pair) -> AsyncIterator[Pair]:
    """Two devices in step, with work of both."""
    for number in range(30):
        await pair.laptop.collection("notes").put({"from": "laptop", "n": number}, id=f"l{number}")
        await pair.phone.collection("notes").put({"from": "phone", "n": number}, id=f"p{number}")
        if number % 10 == 0:
            await pair.meet()
    await pair.laptop.set_relay(pair.url)
    await pair.meet()
    yield pair


@pytest.mark.slow
@pytest.mark.parametrize("whose", ["own", "other"])
async def test_lost_entries_are_fetched_again(met: Pair, tmp_path: Path, whose: str) -> None:
    """A damaged entry, of the other device or its own: the relay has it still, and the repair reads it again."""
    before = await everything(met.laptop)
    shutil.copytree(met.laptop.path, tmp_path / "damaged")
    sign = "=" if whose == "own" else "<>"
    harm(tmp_path / "damaged", lambda db: db.execute(
        f"UPDATE entry SET inner = x'00' WHERE sequence = 2 AND author {sign} ?", (met.laptop.device_id,)))
    mended = await chez.doctor(tmp_path / "damaged", passphrase=PASSPHRASE, repair=True)
    assert mended.fetch and mended.renewed == (whose == "own") and any("read again" in line for line in mended.done)
    async with chez.open(tmp_path / "damaged", passphrase=PASSPHRASE) as home:
        await home.sync()
        assert await everything(home) == before
        if whose == "own":
            await home.collection("notes").put({"from": "mended"}, id="m")
            await home.sync()
            await met.meet()
            assert await everything(met.phone) == await everything(met.laptop) == await everything(home)


async def test_a_page_that_the_log_holds_is_not_damaged(home: Path, tmp_path: Path) -> None:
    """Power cut while the log is written back leaves torn pages in the file, which the log has whole."""
    async with chez.open(home, passphrase=PASSPHRASE) as owner:
        await owner.collection("notes").put({"n": 1}, id="in the log")
        shutil.copytree(home, tmp_path / "cut")  # as it is on the disk of a home in use
    home.rename(tmp_path / "elsewhere")
    log = (tmp_path / "cut" / "chez.db-wal").read_bytes()
    frames = {int.from_bytes(log[at : at + 4], "big") for at in range(32, len(log), PAGE + 24)}
    torn = next(page for page in sorted(frames) if page in pages(tmp_path / "cut"))
    flip(tmp_path / "cut", torn)
    for repair in (False, True):
        assert (await chez.doctor(tmp_path / "cut", passphrase=PASSPHRASE, repair=repair)) == chez.Diagnosis(())
    async with chez.open(tmp_path / "cut", passphrase=PASSPHRASE) as opened:
        assert await opened.examine() == []  # and with that the log is written back
        assert (await opened.collection("notes").get("in the log")).value == {"n": 1}
    assert ("notes", "in the log") in await held(tmp_path / "cut")
    flip(tmp_path / "cut", torn)  # now it is
    assert not (await chez.doctor(tmp_path / "cut", passphrase=PASSPHRASE)).sound


async def test_a_copy_that_is_met_without_a_relay_is_told(home: Path) -> None:
    """A key came, no relay did, and what had waited for it stands in this device's name, which did not write it.

    What waits in another space has its turn all the same.
    """
    async with chez.open(home, passphrase=PASSPHRASE) as opened:
        await opened.create_space("shared")
        space, keys = opened._replica.space, opened._device
        change = Item(CHANGE, "notes", "twin", encode_fields(keys.id, 10_000, 1, (), {"x": 1}).bytes)
        entry = sign_entry(Inner(1, space.id, keys.id, 10_000, bytes(32), 1, CHANGES, [change],
                                 space.membership.named_heads, None), keys.signing)
        envelope = seal(entry.packed, space.handle, space.epoch, bytes(24))

        def wait(db: Connection) -> None:
            db.execute("INSERT INTO relay (n, url) VALUES (9, 'ws://gone.test:1')")
            for n, data in enumerate((envelope, b"something else"), 1):
                db.execute("INSERT INTO locked (space, id, epoch, relay, position, envelope) "
                           "SELECT space, x'', id, 9, 1, ? FROM epoch WHERE space = ?", (data, n))

        await opened._database.write(wait)
        assert "copy" not in {one.kind for one in await opened.examine()}
    async with chez.open(home, passphrase=PASSPHRASE) as opened, asyncio.timeout(10):
        while {"copy", "set-aside"} - {one.kind for one in await opened.examine()}:  # noqa: ASYNC110 (nobody is told)
            await asyncio.sleep(0.02)
