"""Export and import: what one writes, the other reads back, and nothing half-made passes for whole."""

import asyncio
import base64
import hashlib
import json
import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from automerge import core
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chez
from chez.crypto import Kdf
from chez.errors import BadArchive, Damaged, InvalidValue, StorageFailed
from chez.home import unfinished
from chez.records.values import check_value
from tests.home.conftest import PASSPHRASE
from tests.tries import tries

BANK = Path(__file__).parents[1] / "data" / "bank-ofx" / "checking.ofx"

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
TIMES = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 30), timezones=st.sampled_from(
    [UTC, timezone(timedelta(hours=-11)), timezone(timedelta(hours=5, minutes=45))]))
SCALARS = (st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=20) | TEXT | TIMES
           | st.floats(allow_nan=False, allow_infinity=False))
KEYS = TEXT.filter(bool)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
                      max_leaves=12)
RECORDS = st.dictionaries(KEYS.filter(lambda key: not key.startswith("_")), VALUES, max_size=6)
IDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).filter(str.isprintable)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home to copy: making one takes longer than all else here."""
    path = tmp_path_factory.mktemp("template") / "home"
    asyncio.run(chez.create(path, passphrase=PASSPHRASE, kdf=Kdf.minimum()))
    return path


async def everything(home: chez.Home) -> dict[tuple[str, str], tuple[Any, Any]]:
    """All records: value and source."""
    return {(info.name, record.id): (record.value, record.source)
            for info in await home.collections() async for record in home.collection(info.name)}


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same kinds all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.slow
@settings(max_examples=tries(25), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(records=st.dictionaries(st.tuples(st.sampled_from(["notes", "Notes", "été", "con", "a" * 128]), IDS), RECORDS,
                               max_size=8),
       gone=st.sets(st.integers(0, 7)))
def test_what_export_writes_import_reads_back(template: Path, records: dict[tuple[str, str], Any],
                                              gone: set[int]) -> None:
    """Any records, of every kind of value, are equal in another home; deleted ones are not there."""

    async def play(folder: Path) -> None:
        for name in "ab":
            shutil.copytree(template, folder / name)
        async with chez.open(folder / "a", passphrase=PASSPHRASE) as home:
            for (collection, id), value in records.items():
                await home.collection(collection).put(value, id=id)
            for number, (collection, id) in enumerate(records):
                if number in gone:
                    await home.collection(collection).delete(id)
            before = await everything(home)
            report = await home.export(folder / "export", history=True)
            assert report.records == len(before) and report.changes >= len(records)
            again = await home.import_file(folder / "export")
            assert (again.added, again.updated, again.unchanged) == (0, 0, len(before))
        async with chez.open(folder / "b", passphrase=PASSPHRASE) as home:
            report_b = await home.import_file(folder / "export" / "manifest.json")
            assert (report_b.added, report_b.rejected) == (len(before), 0)
            assert same(await everything(home), before)
        assert {key: value for key, (value, _) in before.items()} == {
            key: check_value(value) for number, (key, value) in enumerate(records.items()) if number not in gone}

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder)))


async def test_any_program_reads_it(home: chez.Home, tmp_path: Path) -> None:
    """Lines of plain JSON: values as they are, times and bytes as text that `kinds` names; and a manifest."""
    when = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)
    await home.collection("notes").put({"title": "Tea", "big": 2**63 - 1, "at": [when], "raw": b"\0\xff"}, id="tea")
    await home.collection("notes").put({"title": "Gone"}, id="gone")
    await home.collection("notes").delete("gone")
    report = await home.export(tmp_path / "out")
    lines = (tmp_path / "out" / "records" / "notes.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{
        "id": "tea", "value": {"title": "Tea", "big": 2**63 - 1, "at": ["2024-02-29T12:30:00.000Z"], "raw": "00ff"},
        "kinds": [[["at", 0], "t"], [["raw"], "b"]]}]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["person"] == home.person_id.hex() and manifest["files"][0]["lines"] == 1
    assert report.records == 1 and report.bytes == manifest["files"][0]["bytes"]
    assert oct((tmp_path / "out").stat().st_mode & 0o777) == "0o700"


async def test_the_list_of_relays_neither_leaves_nor_comes(home: chez.Home, tmp_path: Path) -> None:
    """An operator's token is in no export, with history or without, and no export leads a home to a relay."""
    await home.set_relay("ws://127.0.0.1:9")
    await home.relays.token("ws://127.0.0.1:9", "given-by-the-operator")
    await home.collection("notes").put({"relay": "ws://127.0.0.1:8"}, id="home")
    report = await home.export(tmp_path / "out", history=True)
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert report.records == 1 and {file.parent.name for file in files} >= {"records", "history"}
    assert not any(b"given-by-the-operator" in file.read_bytes() for file in files)
    manifest = tmp_path / "out" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"notes"', '"chez-relays"'))
    assert (await home.import_file(tmp_path / "out")).added == 0
    assert home.relay == "ws://127.0.0.1:9"


async def test_nothing_that_a_home_acts_on_comes_from_an_export(home: chez.Home, template: Path, tmp_path: Path
                                                                 ) -> None:
    """Whoever made an export makes nobody a verified contact, has nothing followed or granted, and puts no row into a
    table of open data; an older one of one's own takes nothing back. It is told; shared spaces' tables come."""
    shutil.copytree(template, tmp_path / "mallory")
    club, home_card = await home.create_space("club"), await home.card()
    async with chez.open(tmp_path / "mallory", passphrase=PASSPHRASE) as other:
        friend = await other.contacts.add(home_card, "Bob")
        assert (await other.contacts.verify(friend.id)).verified
        for name in ("chez.open_data", "chez.grants", "chez.catalogues", "chez-deposit-addresses", "Chez.Grants",
                     "open_velov", "OPEN_velov", "chezmoi", "openings"):
            await other.collection(name).put({"kind": "dataset", "wanted": True, "dataset": "velov"}, id="00" * 32)
        await other.export(tmp_path / "out")
    shutil.copytree(template, tmp_path / "mine")
    async with chez.open(tmp_path / "mine", passphrase=PASSPHRASE) as mine:
        report = await mine.import_file(tmp_path / "out")
        assert report.left_out == ["Chez.Grants", "OPEN_velov", "chez-contacts", "chez-deposit-addresses",
                                   "chez.catalogues", "chez.grants", "chez.open_data", "open_velov"]
        assert (report.added, report.rejected, report.collections) == (2, 0, {"chezmoi", "openings"})
        assert await mine.contacts.all() == []
        assert {one.name for one in await mine.collections()} == {"chezmoi", "openings"}

    async with chez.open(tmp_path / "mallory", passphrase=PASSPHRASE) as other:
        await other.contacts.verify("Bob", False)
        await other.import_file(tmp_path / "out")
        assert not (await other.contacts.find("Bob")).verified, "an older state of one's own is not believed either"

    await club.collection("open_issues").put({"n": 1}, id="a")
    await home.export(tmp_path / "ours")
    await club.collection("open_issues").delete("a")
    back = await home.import_file(tmp_path / "ours")
    assert (back.added, back.left_out) == (1, [])


async def test_history_has_every_change(home: chez.Home, tmp_path: Path) -> None:
    """Each record's changes, deleted ones included, make its Automerge document, with author and time."""
    notes = home.collection("notes")
    for number in range(230):  # more than a snapshot takes in
        await notes.put({"n": number}, id="counted")
    await notes.delete("counted")
    await home.export(tmp_path / "out", history=True)
    changes = [json.loads(line) for line in (tmp_path / "out" / "history" / "notes.jsonl").read_text().splitlines()]
    assert len(changes) == 231 and {change["author"] for change in changes} == {home.device_id.hex()}
    document = core.Document.load(b"".join(base64.b64decode(change["change"]) for change in changes))
    assert document.get(core.ROOT, "n")[0][1] == 229
    assert not (tmp_path / "out" / "records" / "notes.jsonl").exists()


async def test_history_names_the_device_of_every_change(home: chez.Home, tmp_path: Path) -> None:
    """Also of those that no device answers for, which are named after what they hold."""

    class Note(msgspec.Struct):
        title: str
        tags: list[str] = []

    await home.collection("notes").put({"title": "Tea"}, id="tea")
    async with home.collection(Note, name="notes").edit("tea") as draft:
        draft.tags.append("hot")
    await home.export(tmp_path / "out", history=True)
    lines = [json.loads(line) for line in (tmp_path / "out" / "history" / "notes.jsonl").read_text().splitlines()]
    assert [line["author"] for line in lines] == [home.device_id.hex()] * 3
    assert all(line["time"] for line in lines)


async def test_imported_records_stay_what_they_are(home: chez.Home, template: Path, tmp_path: Path) -> None:
    """Provenance travels along, and in the same home a file imported again finds its records."""
    await home.import_file(BANK)
    before = await everything(home)
    await home.export(tmp_path / "out")
    transactions = home.collection("transactions")
    first, second, *_ = [id for name, id in before if name == "transactions"]
    await transactions.delete(first)
    async with transactions.edit(second) as draft:
        draft["memo"] = "edited since"
    report = await home.import_file(tmp_path / "out")
    assert (report.added, report.updated) == (1, 1)
    assert await everything(home) == before
    assert (await home.import_file(BANK)).unchanged == len(before)


async def test_the_journal_says_that_plaintext_left(home: chez.Home, tmp_path: Path) -> None:
    """A receipt before the first line is written, one with the manifest's hash when it is whole, one for the import."""
    await home.collection("notes").put({"n": 1})
    report = await home.export(tmp_path / "out")
    with pytest.raises(InvalidValue):
        await home.export(tmp_path / "out")  # something is there
    await home.import_file(tmp_path / "out")
    assert [(receipt.kind, receipt.body.get("manifest")) for receipt in await home.journal.receipts()][1:] == [
        ("export", None), ("export-complete", report.sha256), ("import", None)]


async def test_an_export_shows_one_state_while_others_write(home: chez.Home, tmp_path: Path) -> None:
    """Pairs of records that change together are never seen apart, and writing goes on meanwhile."""
    notes = home.collection("notes")
    await notes.put_many([{"n": 0, "pad": "x" * 200} for _ in range(2000)], ids=[f"{n:04d}" for n in range(2000)])
    exporting = asyncio.create_task(home.export(tmp_path / "out"))
    turns = 0
    while not exporting.done():
        turns += 1
        await notes.put_many([{"n": turns}, {"n": turns}], ids=["0000", "1999"])
    await exporting
    lines = [json.loads(line) for line in (tmp_path / "out" / "records" / "notes.jsonl").read_text().splitlines()]
    assert turns > 1 and len(lines) == 2000 and lines[0]["value"]["n"] == lines[-1]["value"]["n"]
    report = await home.import_file(tmp_path / "out")  # several batches of lines, none of them lost
    assert (report.added, report.updated + report.unchanged) == (0, 2000)


async def test_progress_and_cancelling(home: chez.Home, tmp_path: Path) -> None:
    """Progress rises to the total; an export that is cancelled leaves nothing, and the home goes on."""
    notes = home.collection("notes")
    await notes.put_many([{"n": n} for n in range(3000)])
    seen: list[tuple[int, int]] = []
    await home.export(tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    await asyncio.sleep(0)
    assert seen == sorted(seen) and seen[-1] == (3000, 3000) and len(seen) > 5
    started = asyncio.Event()
    task = asyncio.create_task(home.export(tmp_path / "cut", progress=lambda *_: started.set()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out"]
    assert await notes.count() == 3000


async def test_the_journal_says_that_an_export_failed(home: chez.Home, tmp_path: Path) -> None:
    """Given up, or on a disk that takes no folder there: one that was begun passed for one that may have left."""
    await home.collection("notes").put({"n": 1})
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailed):
        await home.export(tmp_path / "file" / "out")
    task = asyncio.create_task(home.export(tmp_path / "cut"))
    while not any(path.name.startswith(".cut") for path in tmp_path.iterdir()):  # noqa: ASYNC110
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    await home.export(tmp_path / "out")
    assert [(receipt.kind, Path(receipt.body["to"]).name) for receipt in await home.journal.receipts()
            if receipt.kind.startswith("export")] == [
        ("export", "out"), ("export-failed", "out"), ("export", "cut"), ("export-failed", "cut"),
        ("export", "out"), ("export-complete", "out")]


@pytest.mark.parametrize("history", [False, True])
async def test_no_token_of_a_relay_is_in_an_export(home: chez.Home, tmp_path: Path, history: bool) -> None:
    """What operators gave out is a secret between the person and them, and an export is read by whoever gets it."""
    await home.set_relay("wss://relay.test")
    await home.relays.add("wss://second.test")
    await home.relays.token("wss://second.test", "given-to-me")
    assert "given-to-me" in str([record.value async for record in home.collection("chez-relays")])
    await home.collection("notes").put({"n": 1}, id="a")
    await home.export(tmp_path / "out", history=history)
    written = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert written and not any(b"given-to-me" in file.read_bytes() or "chez-relays" in file.name for file in written)


@pytest.mark.parametrize("there", [False, True])
async def test_a_store_that_takes_no_word_of_a_failed_export_tells_it_when_it_is_opened_again(
        path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    """A full disk took neither the export nor that it failed: one that was begun passed for one that may have left.
    What is at its place by then may be that export, and is not said to have failed."""
    def full(db: object, folder: Path) -> None:
        raise StorageFailed("the disk is full")

    (tmp_path / "file").touch()
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        with monkeypatch.context() as patched, pytest.raises(StorageFailed):
            patched.setattr(unfinished, "end", full)
            await home.export(tmp_path / "file" / "out")
        assert len(await home.journal.receipts("export")) == 1 and not await home.journal.receipts("export-failed")
    (tmp_path / "file").unlink()
    (tmp_path / "file" / ("out" if there else "other")).mkdir(parents=True)
    for _ in range(2):
        async with chez.open(path, passphrase=PASSPHRASE) as home:
            told = [receipt.body for receipt in await home.journal.receipts("export-failed")]
            assert told == ([] if there else [{"to": str(tmp_path / "file" / "out")}])


@pytest.mark.parametrize("harm", ["no manifest", "pipe", "device", "no file", "cut", "flipped", "no json", "path",
                                  "collection"])
async def test_what_is_not_a_whole_export_is_refused(home: chez.Home, tmp_path: Path, harm: str) -> None:
    """An export that is incomplete or altered is a typed error, and nothing of it is imported."""
    await home.collection("notes").put({"n": 1}, id="a")
    await home.export(tmp_path / "out")
    await home.collection("notes").put({"n": 2}, id="a")
    manifest, file = tmp_path / "out" / "manifest.json", tmp_path / "out" / "records" / "notes.jsonl"
    if harm == "no manifest":
        manifest.unlink()
    elif harm == "pipe":  # which no writer opens
        manifest.unlink()
        os.mkfifo(manifest)
    elif harm == "device":
        manifest.unlink()
        manifest.symlink_to("/dev/zero")
    elif harm == "no file":
        file.unlink()
    elif harm == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif harm == "flipped":
        file.write_bytes(file.read_bytes().replace(b"1", b"3"))
    elif harm == "no json":
        manifest.write_text("{")
    elif harm == "path":
        file.rename(tmp_path / "notes.jsonl")  # else it would be refused for its hash
        manifest.write_text(manifest.read_text().replace("records/notes.jsonl", "records/../../notes.jsonl"))
    else:
        manifest.write_text(manifest.read_text().replace('"notes"', '"_notes"'))
    with pytest.raises(InvalidValue if harm == "collection" else BadArchive) as caught:
        await home.import_file(tmp_path / "out")
    assert caught.value.hint
    assert (await home.collection("notes").get("a")).value == {"n": 2}


def rewrite(folder: Path, lines: list[bytes]) -> None:
    """An export that somebody else made: these lines, and a manifest that fits them."""
    file = folder / "records" / "notes.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][0] |= {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "bytes": file.stat().st_size}
    (folder / "manifest.json").write_text(json.dumps(manifest))


async def test_bad_lines_cost_themselves(home: chez.Home, tmp_path: Path) -> None:
    """Lines that are no record, from whoever wrote the export, are told with number and reason; the others come in."""
    await home.collection("notes").put({"n": 1}, id="a")
    await home.export(tmp_path / "out")
    fields = [b'{"_source":"forged"}', b'{"a":1e999}', b'{"a":123456789012345678901234567890}', b'{"a":"\\ud800"}',
              b'{"a":' * 5000 + b"1" + b"}" * 5000]
    kinds = [b'[[[],"t"]]', b'[[["a","b"],"t"]]', b'[[["a"],"t"]]', b"7", b'[[["z"],"b"]]']
    bad = [b"nonsense", b"[]", b'{"id":"x"}', b'{"id":"","value":{}}', b"\xff",
           b'{"id":"x","value":{"a":1},"about":{"deleted":true}}',
           *[b'{"id":"x","value":%s}' % value for value in fields],
           *[b'{"id":"x","value":{"a":"b"},"kinds":%s}' % wrong for wrong in kinds]]
    rewrite(tmp_path / "out", [*bad, b'{"id":"good","value":{"n":2}}'])
    report = await home.import_file(tmp_path / "out")
    assert (report.added, report.rejected) == (1, len(bad))
    assert [reject.line for reject in report.rejects] == list(range(1, len(bad) + 1))
    assert all(reject.reason for reject in report.rejects)
    assert (await home.collection("notes").get("good")).value == {"n": 2}


async def test_a_poison_document_stops_only_the_history(home: chez.Home, tmp_path: Path) -> None:
    """A record whose changes can't be read is in an export of values; with history the error says what to do."""
    await home.collection("notes").put({"n": 1}, id="a")
    await home._database.write(lambda db: db.execute("UPDATE change SET bytes = x'00'"))
    await home.export(tmp_path / "out")
    with pytest.raises(Damaged) as caught:
        await home.export(tmp_path / "more", history=True)
    assert "doctor" in caught.value.hint and not (tmp_path / "more").exists()


def left_behind(folder: Path, name: str) -> Path:
    """A folder as an export leaves it that was cut off."""
    made = folder / name / "records"
    made.mkdir(parents=True)
    (made / "notes.jsonl").write_text('{"id": "plain')
    return folder / name


async def note(path: Path, *folders: Path) -> None:
    """Say in a home's store that exports are under way, as one does before it makes its folder."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        for folder in folders:
            await home._database.write(partial(unfinished.begin, folder=folder, place=folder.with_name("out")))


async def test_plaintext_of_an_export_that_was_cut_off_is_removed(path: Path, tmp_path: Path) -> None:
    """Whoever opens the home next removes it, once, and the journal says so; what is not here is asked for again."""
    left, moved = left_behind(tmp_path, ".out.0123abcd"), tmp_path / "unplugged" / ".out.0123abcd"
    await note(path, left, moved, tmp_path / ".never.0123abcd")
    for _ in range(2):
        async with chez.open(path, passphrase=PASSPHRASE) as home:
            assert not left.exists()
            assert [receipt.body for receipt in await home.journal.receipts("export-removed")] == [
                {"folder": str(left)}]
            assert await home._database.read(lambda db: db.execute(
                "SELECT key FROM meta WHERE key GLOB 'export*'").fetchall()) == [(f"export in {moved}",)]
    left_behind(tmp_path / "unplugged", moved.name)
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        assert not moved.exists() and len(await home.journal.receipts("export-removed")) == 2


@pytest.mark.parametrize("name", ["documents", ".config", ".out.0123abcd.d", "link"])
async def test_a_note_removes_nothing_but_an_exports_folder(path: Path, tmp_path: Path, name: str) -> None:
    """Whatever a store says: only a folder that is called as exports call theirs goes, and no link is followed."""
    other = left_behind(tmp_path, "other" if name == "link" else name)
    if name == "link":
        (tmp_path / ".out.0123abcd").symlink_to(other)
    await note(path, tmp_path / ".out.0123abcd" if name == "link" else other)
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        assert (other / "records" / "notes.jsonl").exists()
        assert await home.journal.receipts("export-removed") == []


async def test_a_restored_home_removes_nothing_of_its_former_self(path: Path, tmp_path: Path) -> None:
    """Its store may come from anybody who had the words of its person: the folders that it names are left alone."""
    left = left_behind(tmp_path, ".out.0123abcd")
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await home._database.write(partial(unfinished.begin, folder=left, place=tmp_path / "out"))
        await home.backup(tmp_path / "backup")
        await home._database.write(partial(unfinished.end, folder=left))
    await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase=PASSPHRASE, kdf=Kdf.minimum())
    async with chez.open(tmp_path / "again", passphrase=PASSPHRASE):
        assert left.exists()


async def test_an_old_form_is_not_put_where_a_newer_one_is(home: chez.Home, tmp_path: Path) -> None:
    """A record that was migrated after the export stays readable; its line is told, and the others come back."""
    class Person(msgspec.Struct):
        first: str
        last: str

    def split(value: dict[str, Any]) -> dict[str, Any]:
        first, _, last = value.pop("name").partition(" ")
        return value | {"first": first, "last": last}

    plain = home.collection("people")
    for id in ("ada", "bob", "eve"):
        await plain.put({"name": f"{id} Low"}, id=id)
    await home.export(tmp_path / "old")
    people = home.collection(Person, name="people", version=2, migrations={1: split})
    async with people.edit("ada") as draft:
        draft.last = "Lovelace"
    await people.delete("ada")
    async with people.edit("bob") as draft:
        draft.last = "High"
    await plain.delete("eve")
    report = await home.import_file(tmp_path / "old")
    assert (report.added, report.updated, report.rejected) == (1, 0, 2)
    assert all("version 2" in one.reason for one in report.rejects)
    assert {record.id: record.value async for record in people} == {
        "bob": Person("bob", "High"), "eve": Person("eve", "Low")}
