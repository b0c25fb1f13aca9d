"""What a script does with `chez.blocking`, from making a home to syncing it."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from chez import blocking, field
from chez.crypto import Kdf
from chez.errors import (
    HomeBusy,
    HomeMissing,
    InvalidValue,
    Misuse,
    NotAllowed,
    NotFound,
    StorageFailed,
    WrongPassphrase,
)
from tests.blocking.conftest import PASSPHRASE

OFX = Path(__file__).resolve().parents[1] / "data" / "bank-ofx" / "checking.ofx"


class Note(msgspec.Struct):
    """A typed record."""

    title: str
    cups: int = 0
    body: blocking.Text = msgspec.field(default_factory=blocking.Text)


def test_records_are_written_edited_and_read(home: blocking.Home) -> None:
    """put, get, edit, iterate, filter, aggregate, delete: as in `chez`, without await."""
    notes = home.collection("notes", indexes=("cups",))
    notes.put({"title": "Tea", "cups": 2}, id="tea")
    assert notes.put_many({"title": f"Cup {n}", "cups": n} for n in range(500)) != []
    with notes.edit("tea") as draft:
        draft["cups"] = 501
    assert notes.get("tea").value == {"title": "Tea", "cups": 501}
    assert [record.id for record in notes.where(field("cups") > 500)] == ["tea"]
    assert sum(1 for _ in notes) == notes.count() == 501
    assert [record.value["cups"] for record in notes.where().order_by("-cups").limit(3)] == [501, 499, 498]
    assert notes.where(cups=3).group_by("title").aggregate(n=blocking.count()) == [{"title": "Cup 3", "n": 1}]
    assert home.sql("select count(*) from notes").rows == [(501,)]
    notes.delete("tea")
    with pytest.raises(NotFound):
        notes.get("tea")


def test_typed_collections_are_typed_here_too(home: blocking.Home) -> None:
    """A Struct goes in and comes out; its texts are edited inside a draft."""
    notes = home.collection(Note, name="notes")
    notes.put(Note("Tea", 2, blocking.Text("Boil water.")), id="tea")
    with notes.edit("tea") as draft:
        draft.cups += 1
        draft.body.append(" Wait.")
    assert notes.get("tea").value == Note("Tea", 3, blocking.Text("Boil water. Wait."))


def test_an_edit_whose_block_fails_changes_nothing(home: blocking.Home) -> None:
    """What the block raises is raised as it is, and the draft is gone."""
    notes = home.collection("notes")
    notes.put({"cups": 1}, id="tea")
    problem = RuntimeError("spilled")
    with pytest.raises(RuntimeError) as raised, notes.edit("tea") as draft:
        draft["cups"] = 2
        raise problem
    assert raised.value is problem and notes.get("tea").value == {"cups": 1}


def test_a_record_being_edited_by_this_thread_is_not_waited_for(home: blocking.Home) -> None:
    """Writing to a record inside its own edit block raises `Misuse`, as in one task, instead of waiting for ever."""
    notes = home.collection("notes")
    notes.put({"cups": 1}, id="tea")
    with notes.edit("tea") as draft:
        with pytest.raises(Misuse):
            notes.put({"cups": 5}, id="tea")
        with pytest.raises(Misuse), notes.edit("tea"):
            pass
        notes.put({"cups": 9}, id="coffee")
        draft["cups"] = 2
    assert notes.get("tea").value == {"cups": 2}


def test_errors_keep_their_type(home: blocking.Home, path: Path, tmp_path: Path) -> None:
    """What `chez` raises is raised, the same class, with its message and hint."""
    with pytest.raises(NotFound, match="no record 'nothing' in 'notes'"):
        home.collection("notes").get("nothing")
    with pytest.raises(InvalidValue):
        home.sql("delete from notes")
    with pytest.raises(HomeBusy):
        blocking.open(path, passphrase=PASSPHRASE)
    with pytest.raises(HomeMissing):
        blocking.open(tmp_path / "nowhere", passphrase=PASSPHRASE)
    home.close()
    with pytest.raises(WrongPassphrase):
        blocking.open(path, passphrase="wrong")


def test_a_home_is_opened_without_a_block_and_closed_once(path: Path) -> None:
    """In a notebook a home is opened in one cell and closed in another; closing again does nothing."""
    home = blocking.open(path, passphrase=PASSPHRASE)
    notes = home.collection("notes")
    notes.put({"title": "Tea"}, id="tea")
    home.close()
    home.close()
    with pytest.raises(StorageFailed, match="closed"):
        notes.get("tea")
    with blocking.open(path, passphrase=PASSPHRASE) as again:
        assert again.collection("notes").get("tea").value == {"title": "Tea"}


def test_live_answers_are_an_iterator(home: blocking.Home) -> None:
    """The first answer comes at once, the next when something changed; closing the home ends it."""
    notes = home.collection("notes")
    answers = notes.where(field("cups") > 1).live()
    assert next(answers) == []
    notes.put({"cups": 1}, id="a")
    notes.put({"cups": 2}, id="b")
    assert [record.id for record in next(answers)] == ["b"]
    closing = threading.Thread(target=home.close)
    closing.start()
    assert list(answers) == []
    closing.join()


def test_a_live_answer_can_be_left(home: blocking.Home) -> None:
    """Leaving a `with`, or `close`, ends it; so does the end of a loop."""
    notes = home.collection("notes")
    with notes.live("tea") as answers:
        assert next(answers) is None
    assert list(answers) == []
    for found in notes.live("tea"):
        assert found is None
        break


def test_an_error_in_the_middle_comes_after_what_was_read(home: blocking.Home) -> None:
    """Records are brought in batches, and yet what is read comes in order before what is raised."""
    for number in range(20):
        home.collection("notes").put({"title": "x", "cups": number if number < 19 else "many"}, id=f"{number:02}")
    records = iter(home.collection(Note, name="notes"))
    assert [next(records).value.cups for _ in range(19)] == list(range(19))
    with pytest.raises(InvalidValue):
        next(records).value  # noqa: B018
    assert list(records) == []


def test_a_transaction_is_a_plain_function(home: blocking.Home) -> None:
    """It reads and writes with the collections of here; nothing else can be used inside it."""
    drafts, notes = home.collection("drafts"), home.collection("notes")
    drafts.put({"title": "Tea"}, id="tea")

    def move(transaction: blocking.Transaction) -> str:
        note = transaction.get(drafts, "tea")
        transaction.put(notes, note.value, id="tea")
        transaction.delete(drafts, "tea")
        with pytest.raises(Misuse, match="transaction"):
            notes.count()
        with pytest.raises(Misuse, match="transaction"):
            home.close()
        return str(note.value["title"])

    assert home.transaction(move) == "Tea"
    assert [info.name for info in home.collections()] == ["notes"]

    def fail(transaction: blocking.Transaction) -> None:
        transaction.put(notes, {"title": "Coffee"}, id="coffee")
        raise NotAllowed("no coffee")

    with pytest.raises(NotAllowed):
        home.transaction(fail)
    assert notes.count() == 1


def test_an_import_tells_its_progress_in_the_callers_thread(home: blocking.Home, tmp_path: Path) -> None:
    """Progress is told where the caller waits, before the call returns, and may use the home."""
    told: list[tuple[threading.Thread, int, int]] = []

    def progress(done: int, total: int) -> None:
        told.append((threading.current_thread(), done, total))
        home.collection("transactions").count()

    report = home.import_file(OFX, progress=progress)
    assert report.added == 4
    assert told[-1] == (threading.current_thread(), OFX.stat().st_size, OFX.stat().st_size)
    exported = home.export(tmp_path / "export", history=True, progress=progress)
    assert exported.records == 4


def test_what_a_callback_raises_ends_the_call(home: blocking.Home) -> None:
    """The call is cancelled, and the callback's exception comes back as it is."""
    def stop(done: int, total: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        home.import_file(OFX, progress=stop)
    assert home.import_file(OFX).rejected == 0


def test_attachments_take_and_give_parts(home: blocking.Home, tmp_path: Path) -> None:
    """An attachment is added from any iterable, whose parts are made in the caller's thread, and read as one."""
    threads = set()

    def parts() -> Iterator[bytes]:
        for number in range(5):
            threads.add(threading.current_thread())
            yield bytes([number]) * 300_000

    blob = home.blobs.add(parts(), media_type="application/x-numbers", name="numbers")
    assert threads == {threading.current_thread()}
    assert b"".join(home.blobs.read(blob)) == b"".join(bytes([n]) * 300_000 for n in range(5))
    home.blobs.save(blob, tmp_path / "numbers")
    assert (tmp_path / "numbers").stat().st_size == blob.size == 1_500_000
    assert home.blobs.add(tmp_path / "numbers").id == blob.id
    with pytest.raises(InvalidValue):
        home.blobs.add(iter([1, 2]))  # type: ignore[arg-type]
    with pytest.raises(InvalidValue):
        home.blobs.add(7)  # type: ignore[arg-type]


def test_receipts_are_read_and_verified(home: blocking.Home) -> None:
    """The journal, too, is without await."""
    home.journal.append("note", {"about": "tea"})
    assert [receipt.kind for receipt in home.journal.receipts()] == ["home-created", "note"]
    assert home.journal.verify().ok


def test_two_devices_pair_and_sync(home: blocking.Home, relay: str, tmp_path: Path) -> None:
    """One shows a code and is asked in its own thread, the other joins; both see the record, and a live link ends."""
    asked = []

    def ask(question: str, default: str = "no") -> str:
        asked.append((threading.current_thread(), home.status().records))
        return "yes"

    home.collection("notes").put({"title": "Tea"}, id="tea")
    with home.pair(relay) as pairing:
        assert repr(pairing) == f"<Pairing at {relay}>"
        joining = threading.Thread(target=lambda: blocking.join(
            tmp_path / "phone", pairing.code, passphrase=PASSPHRASE, name="phone", kdf=Kdf.minimum()))
        joining.start()
        assert pairing.confirm(ask).name == "phone"
        joining.join()
    assert asked == [(threading.current_thread(), 1)]
    home.sync(relay)
    with blocking.open(tmp_path / "phone", passphrase=PASSPHRASE) as phone:
        assert phone.sync().received > 0
        notes = phone.collection("notes")
        assert notes.get("tea").value == {"title": "Tea"}
        with home.connect(relay) as ours, phone.connect() as theirs:
            theirs.synced(90)
            answers = notes.live("tea")
            assert next(answers) is not None
            home.collection("notes").put({"title": "Green tea"}, id="tea")
            changed = next(answers)
            assert changed is not None and changed.value == {"title": "Green tea"}
            ours.synced(90)
            assert ours.status == "synced" and ours.error is None
    with pytest.raises(Misuse):
        with home.connect(relay), home.connect(relay):
            pass


def test_the_owners_socket_is_served(home: blocking.Home) -> None:
    """`serve` lets `chez` commands in; its event can be waited for, for a while or until it happens."""
    with blocking.serve(home) as owner:
        assert owner.path.is_socket()
        assert not owner.stopped.is_set() and not owner.stopped.wait(0)
    assert not owner.path.exists()


def test_what_is_said_just_now(home: blocking.Home) -> None:
    """Without a connection nobody hears it, and that is told; who listens is done when the home closes."""
    space = home.space()
    assert space.broadcast("presence", {"at": [1, 2]}) == 0
    with pytest.raises(InvalidValue):
        space.broadcast("presence", "x" * 9000)
    heard: list[object] = []

    def listen() -> None:
        with suppress(Misuse):  # if the home was closed before
            heard.extend(space.ephemeral("presence"))

    listening = threading.Thread(target=listen)
    listening.start()
    home.close()
    listening.join(90)
    assert not listening.is_alive() and heard == []
