"""The organisation's side by itself: its key, its book, files read and made into messages."""

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chez import inboxes
from chez.deposits.address import Quota
from chez.deposits.message import open_deposit
from chez.deposits.types import RecordType
from chez.errors import HomeExists, InvalidValue, NotAllowed, NotFound, StorageFailed
from chez_deposit import Book, Sent, build, collect, load_keys, save_keys, send, stage
from chez_deposit import collecting as collecting_module
from chez_deposit import reading as reading_module
from chez_deposit import sending as sending_module
from chez_deposit.book import State
from chez_deposit.cli import main
from chez_wire.frames import InboxItem, OpenedSpace
from chez_wire.login import Role, inbox_of
from tests.deposits.support import NOW, POLICIES, TRANSACTIONS, address, address_keys, lines, organisation, policy

KEYS = organisation()


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    """A book with two customers, whose addresses are at no relay."""
    with Book(tmp_path / "book", KEYS, now=NOW) as made:
        made.add_customer("anna", address("anna", whose=KEYS).text)
        made.add_customer("berta", address("berta", types=(POLICIES, TRANSACTIONS)).text)
        yield made


def batch(book: Book, text: str, **options: Any) -> tuple[int, int, int]:
    """Stage and build a file; its records, rejected lines and messages."""
    file = Path(book._path).with_name("batch")
    file.write_text(text)
    staged = stage(book, file, **options)
    return staged.records, staged.rejected, build(book, KEYS, staged.batch, now=NOW).messages


def sealed(book: Book, name: str) -> list[list[dict[str, Any]]]:
    """What the queued messages of a customer say, each as its device opens it."""
    keys, (n, _) = address_keys(name), book.customer(name)
    items = book.db.execute("SELECT item, number FROM message WHERE customer = ? AND state = ? ORDER BY number",
                            (n, State.QUEUED)).fetchall()
    opened = [open_deposit(item, keys.sealing, inbox_of(keys.inbox.public)) for item, _ in items]
    assert [one.number for one in opened] == list(range(1, len(opened) + 1))
    return [[json.loads(line) for _, _, line in one.records()] for one in opened]


def test_a_key_file_is_the_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    """What is saved is loaded; a file that others may read, is none, or is missing is refused by a typed error."""
    path = tmp_path / "insurer.key"
    save_keys(path, KEYS)
    assert load_keys(path) == KEYS and path.stat().st_mode & 0o077 == 0
    with pytest.raises(HomeExists):
        save_keys(path, KEYS)
    path.chmod(0o644)
    with pytest.raises(NotAllowed, match="others"):
        load_keys(path)
    path.chmod(0o600)
    path.write_text("{}")
    with pytest.raises(InvalidValue):
        load_keys(path)
    with pytest.raises(NotFound):
        load_keys(tmp_path / "nothing")


def test_a_key_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves no half of it, which would keep the next one from its place."""
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("os.fsync", full)
        with pytest.raises(StorageFailed, match="No space"):
            save_keys(tmp_path / "key", KEYS)
    save_keys(tmp_path / "key", KEYS)
    assert load_keys(tmp_path / "key") == KEYS


def test_a_file_is_one_batch_however_often_it_is_given(book: Book) -> None:
    """The same file again makes nothing; another file under its name is refused; the same records under another name
    are a new batch, with the numbers that follow."""
    text = lines("anna", [policy(1), policy(2)]) + lines("berta", [policy(3)])
    assert batch(book, text, batch="january") == (3, 0, 2)
    assert batch(book, text, batch="january") == (3, 0, 0)
    with pytest.raises(InvalidValue, match="was another file"):
        batch(book, lines("anna", [policy(9)]), batch="january")
    assert batch(book, text, batch="february") == (3, 0, 2)
    assert sealed(book, "anna") == [[policy(1), policy(2)]] * 2


def test_a_line_that_can_not_be_sent_costs_that_line(book: Book) -> None:
    """Unknown customers, collections that an address does not take, records of another form, lines that are none:
    each is told with its number and the reason, the others go."""
    text = (lines("anna", [policy(1)]) + lines("nobody", [policy(2)]) + lines("anna", [GOOD], "transactions")
            + "no JSON\n" + lines("anna", [policy(3, "a lot")]) + "x" * 60_000 + "\n" + lines("berta", [policy(4)]))
    assert batch(book, text, batch="b") == (2, 5, 2)
    assert [line for line, _ in book.rejects("b")] == [2, 3, 4, 5, 6]
    reasons = " ".join(reason for _, reason in book.rejects("b"))
    for said in ("no customer is called 'nobody'", "takes no records of 'transactions'", "no line of a batch",
                 "'premium' is no decimal", "bytes"):
        assert said in reasons


def test_a_file_of_which_nothing_can_be_sent_is_told_and_read_anew(
        book: Book, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends with 1; the same file is read anew once it can be taken: as what it is, or with its customers.
    Then it is one batch as any other."""
    text = "customer;number;premium\nanna;1;10.00\nanna;2;11\n"
    assert batch(book, text, batch="b") == (0, 3, 0)
    assert batch(book, text, batch="b", collection="policies") == (2, 0, 1)
    assert batch(book, text, batch="b", collection="policies") == (2, 0, 0) and list(book.rejects("b")) == []
    given = lines("carl", [policy(1)])
    assert batch(book, given, batch="c") == batch(book, given, batch="c") == (0, 1, 0)
    book.add_customer("carl", address("carl").text)
    assert batch(book, given, batch="c") == (1, 0, 1) == (*batch(book, given, batch="c")[:2], 1)
    save_keys(tmp_path / "key", KEYS)
    (tmp_path / "wrong.xlsx").write_bytes(b"PK\3\4\n\xff\n")
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main(["send", str(tmp_path / "wrong.xlsx"), "--batch", "x", "--key", str(tmp_path / "key")])
        assert ended.value.code == 1 and "2 lines rejected" in capsys.readouterr().out


@pytest.mark.parametrize("first", [None, "transactions"])
def test_a_file_that_was_begun_as_what_it_is_not_loses_no_line(
        book: Book, monkeypatch: pytest.MonkeyPatch, first: str | None) -> None:
    """CSV that was given as JSON, or as another collection, and killed half-way: given as what it is, all of its lines
    are taken. Of what was begun with records nothing is read as something else."""
    monkeypatch.setattr(reading_module, "STEP", 4)
    text = "customer;number;premium\n" + "".join(f"berta;{n};10.00\n" for n in range(20))
    with monkeypatch.context() as killed:
        _killed_after(killed, 2)
        with pytest.raises(KeyboardInterrupt):
            batch(book, text, batch="b", collection=first)
    assert batch(book, text, batch="b", collection="policies")[:2] == (20, 0)
    with monkeypatch.context() as killed:
        _killed_after(killed, 2)
        with pytest.raises(KeyboardInterrupt):
            batch(book, text + "\n", batch="c", collection="policies")
    with pytest.raises(InvalidValue, match="begun as CSV, with records of policies"):
        batch(book, text + "\n", batch="c", collection=first)
    assert batch(book, text + "\n", batch="c", collection="policies")[:2] == (20, 0)


def _killed_after(patch: pytest.MonkeyPatch, steps: int) -> None:
    """End reading in the middle, after so many steps that are durable."""
    left = iter(range(4 * steps + 2))
    bounded = reading_module.bounded_lines

    def some(*given: Any) -> Iterator[bytes]:
        for line in bounded(*given):
            if next(left, None) is None:
                raise KeyboardInterrupt
            yield line

    patch.setattr(reading_module, "bounded_lines", some)


@pytest.mark.slow
def test_an_address_that_is_refused_since_keeps_nothing_from_other_customers(
        book: Book, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A customer's address that was kept by a version that took its types, and that this one would not: its own lines
    are rejected with the reason, what is queued for it and for others goes, and the lists show it."""
    assert batch(book, lines("berta", [policy(1)]))[:2] == (1, 0)
    old = address("berta", types=(POLICIES, RecordType("open_bills", ("number",), {"number": "text"})))
    with book.writing() as db:
        db.execute("UPDATE customer SET address = ? WHERE ref = 'berta'", (old.text,))
    assert batch(book, lines("berta", [policy(2)]) + lines("anna", [policy(3)]), batch="b") == (1, 1, 1)
    assert "open data" in next(book.rejects("b"))[1]
    assert [one.ref for one in book.customers()] == ["anna", "berta"]
    sent = asyncio.run(send(book, KEYS, now=lambda: NOW))  # no relay is there
    assert (sent.sent, sent.queued, sent.gone) == (0, 2, 0)
    save_keys(tmp_path / "key", KEYS)
    book.__exit__(None, None, None)
    with pytest.raises(SystemExit, match="0"):
        main(["customer", "list", "--key", str(tmp_path / "key"), "--book", str(tmp_path / "book")])
    assert "berta: policies, open_bills" in capsys.readouterr().out


def test_a_line_with_nothing_in_it_is_none(book: Book) -> None:
    """Between lines and at the end, as editors leave them: not counted, and the numbers of others are the file's."""
    text = "\n" + lines("anna", [policy(1)]) + " \r\n" + "no JSON\n" + lines("berta", [policy(2)]) + "\n\n"
    assert batch(book, text, batch="b") == (2, 1, 2)
    assert [line for line, _ in book.rejects("b")] == [4]


def test_what_is_no_file_is_no_batch(book: Book, tmp_path: Path) -> None:
    """A pipe is not waited at, and a device not read until it ends."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(InvalidValue, match="is not a file"):
            stage(book, path)


def test_lines_of_customers_that_are_none_cost_themselves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes that are no text, a line that is too long, one that is empty: told by its number, or passed over."""
    key = str(tmp_path / "o.key")
    for words in (["keys", "new", "--relay", "ws://a.test", "--out", key, "--name", "O", "--contact", "c", "--domain",
                   "o.test"], ["customer", "import", str(tmp_path / "lines"), "--key", key, "--json"]):
        (tmp_path / "lines").write_bytes(b'{"customer": "C\xe9"}\n\n' + b"x" * 200_000 + b'\n{"customer": "a"}\n')
        with pytest.raises(SystemExit):
            main(words)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["kept"] == 0 and [*told["refused"]] == ["line 1", "line 3", "line 4"]


GOOD = {"account": "b/1", "reference": "r", "posted": "2026-01-31", "amount": "1.50", "currency": "EUR", "kind": "fee"}


def test_csv_is_read_by_the_fields_of_the_address(book: Book) -> None:
    """Columns are fields, an empty cell is left out; a line with other columns is told."""
    head = "customer;number;premium;until;note\n"
    text = head + 'anna;1;10.00;2027-01-31;"a; b"\nanna;2;11;;\nanna;3\nanna;;1.00;;\n'
    assert batch(book, text, batch="csv", collection="policies") == (2, 2, 1)
    assert [line for line, _ in book.rejects("csv")] == [4, 5], "as the file counts them"
    assert sealed(book, "anna") == [[policy(1, until="2027-01-31", note="a; b"), policy(2, "11")]]
    blown = head + f'anna;1;1.00;;{chr(1) * 12_000}\nanna;2;1.00;;\n'  # each is six characters of JSON
    assert batch(book, blown, batch="blown", collection="policies") == (1, 1, 1)
    with pytest.raises(InvalidValue, match="no column `customer`"):
        batch(book, "number;premium\n1;2\n", batch="other", collection="policies")


def test_reading_goes_on_where_it_was_killed(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off between two commits, a file is read on from there: no line twice, none lost, and none made before."""
    monkeypatch.setattr(reading_module, "STEP", 10)
    file = Path(book._path).with_name("batch")
    file.write_text(lines("anna", [policy(n) for n in range(35)]))
    real, commits = book.writing, iter(range(100))

    def writing() -> Any:
        if next(commits) == 3:
            raise StorageFailed("the disk is full")
        return real()

    monkeypatch.setattr(book, "writing", writing)
    with pytest.raises(StorageFailed):
        stage(book, file, batch="b")
    with pytest.raises(InvalidValue, match="not read to its end"):
        build(book, KEYS, "b", now=NOW)
    assert stage(book, file, batch="b").records == 35
    build(book, KEYS, "b", now=NOW)
    assert sealed(book, "anna") == [[policy(n) for n in range(35)]]


@given(sizes=st.lists(st.integers(0, 9000), min_size=1, max_size=40), most=st.integers(1, 30))
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_records_fill_as_many_messages_as_they_need(tmp_path: Path, sizes: list[int], most: int) -> None:
    """However large and many the records are, messages have all of them in order, none more than a day takes."""
    path = tmp_path / f"book {os.urandom(4).hex()}"
    records = [policy(n, note="x" * size) for n, size in enumerate(sizes)]
    with Book(path, KEYS, now=NOW) as book:
        book.add_customer("anna", address("anna", quota=Quota(records=most)).text)
        batch(book, lines("anna", records), batch="b")
        messages = sealed(book, "anna")
    assert [one for each in messages for one in each] == records and max(map(len, messages)) <= most


def test_a_customer_may_change_its_address(book: Book) -> None:
    """What was queued for the former address is given up, and told; what follows goes to the new one, from one on."""
    batch(book, lines("anna", [policy(1)]), batch="one")
    book.add_customer("anna", address("anna", whose=KEYS).text)  # the same again changes nothing
    assert book.standing().queued == 1
    book.add_customer("anna", address("anna anew", whose=KEYS).text)
    assert (book.standing().queued, book.standing().gone) == (0, 1)
    batch(book, lines("anna", [policy(2)]), batch="two")
    keys = address_keys("anna anew")
    ((item,),) = book.db.execute("SELECT item FROM message WHERE state = ?", (State.QUEUED,))
    assert open_deposit(item, keys.sealing, inbox_of(keys.inbox.public)).number == 1


def test_addresses_that_are_of_no_use_are_refused(book: Book) -> None:
    """Another organisation's, one that a customer gave already, and what is none; an address that has ended costs its
    customer's records, and nobody else's."""
    for ref, text, why in (("carl", address("carl", whose=organisation("Rival")).text, "another organisation"),
                           ("carl", address("anna", whose=KEYS).text, "already"),
                           ("carl", "chez-deposit:AAAA", "not a deposit address"), ("a\nb", "", "can't name")):
        with pytest.raises(InvalidValue, match=why):
            book.add_customer(ref, text)
    book.add_customer("dora", address("dora", until=(NOW - 1) * 1000).text)
    file = Path(book._path).with_name("batch")
    file.write_text(lines("dora", [policy(1)]) + lines("anna", [policy(2)]))
    built = build(book, KEYS, stage(book, file, batch="b").batch, now=NOW)
    assert (built.messages, built.ended) == (1, 1)


def test_many_customers_are_kept_at_once(book: Book) -> None:
    """Thousands of addresses come in a few transactions; each that is refused is told, and costs no other."""
    given = [(f"c{n}", address(f"c{n % 40}").text if n < 41 else "nonsense") for n in range(42)]
    refused = book.add_customers(given)
    assert set(refused) == {"c40", "c41"} and "c0" in refused["c40"]
    assert {one.ref for one in book.customers()} == {"anna", "berta", *(f"c{n}" for n in range(40))}


def test_a_book_is_one_organisations_and_one_processs(book: Book, tmp_path: Path) -> None:
    """It opens for nobody else's key, nor while it is open; a file that is none is refused; others can't read it."""
    with pytest.raises(StorageFailed, match="in use"):
        Book(tmp_path / "book", KEYS, now=NOW)
    book.db.close()
    with pytest.raises(InvalidValue, match="another key") as refused:
        Book(tmp_path / "book", organisation("Rival"), now=NOW)
    with Book(tmp_path / "book", KEYS, now=NOW):  # who was refused holds it no longer, kept though the error is
        assert refused.value
    (tmp_path / "none").write_bytes(b"no database, and longer than its header is" * 9)
    with pytest.raises(InvalidValue, match="no book"):
        Book(tmp_path / "none", KEYS, now=NOW)
    assert (tmp_path / "book").stat().st_mode & 0o077 == 0


def test_a_book_put_back_from_a_copy_begins_a_later_era(book: Book) -> None:
    """In a new era numbers begin anew, and are another's than those that were given."""
    batch(book, lines("anna", [policy(1)]), batch="one")
    assert book.renew(NOW - 5) == NOW + 1
    batch(book, lines("anna", [policy(1)]), batch="two")
    assert book.db.execute("SELECT era, number FROM message ORDER BY n").fetchall() == [(NOW, 1), (NOW + 1, 1)]


class Relay:
    """A relay that takes whatever comes, or says no word to it."""

    def __init__(self, silent: bool) -> None:
        self.silent = silent

    async def open(self, claims: list[tuple[bytes, Role, object]]) -> tuple[OpenedSpace, ...]:
        """It opens any inbox."""
        return tuple(OpenedSpace(inbox, role, "", 0, bytes(32)) for inbox, role, _ in claims)

    async def put(self, *_: object) -> None:
        """Durable, or never answered."""
        if self.silent:
            await asyncio.Event().wait()


async def test_a_relay_that_says_nothing_keeps_no_other_customer_waiting(
        book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """A customer whose relay opens the inbox and never answers again is left for the next time, and the others have
    what is theirs."""
    dialled: list[str] = []

    @asynccontextmanager
    async def connect(url: str) -> AsyncIterator[Relay]:
        dialled.append(url)
        yield Relay("mute" in url)

    async def none(*_: object, **__: object) -> None:
        """No inbox of the organisation's own is made."""

    book.add_customer("0-mute", address("mute", relay="ws://mute.example:1").text)
    batch(book, lines("0-mute", [policy(1)]) + lines("anna", [policy(1)]))
    monkeypatch.setattr(sending_module, "connect", connect)
    monkeypatch.setattr(inboxes, "create", none)
    monkeypatch.setattr(sending_module, "SILENCE", 0.01)
    assert await send(book, KEYS, now=lambda: NOW) == Sent(
        sent=1, queued=1, problems={"a relay said nothing for 0.01 seconds": 1})
    assert sorted(dialled) == ["ws://127.0.0.1:1", "ws://mute.example:1"]


async def test_relays_are_served_at_once_and_a_few_at_a_time(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many relays as there are places are served together and no more, that of most customers among the first; a
    customer's messages come in their order."""
    under_way, most, first, came = 0, 0, list[str](), dict[str, list[bytes]]()
    full = asyncio.Event()

    class Counted(Relay):
        def __init__(self, url: str) -> None:
            super().__init__(silent=False)
            self.url = url

        async def put(self, inbox: bytes, item: bytes) -> None:
            """Durable when as many relays as may be are under way."""
            await full.wait()
            came.setdefault(f"{self.url} {inbox.hex()}", []).append(item)

    @asynccontextmanager
    async def connect(url: str) -> AsyncIterator[Relay]:
        nonlocal under_way, most
        first.append(url)
        under_way += 1
        most = max(most, under_way)
        if under_way == 3:
            full.set()
        yield Counted(url)
        under_way -= 1

    async def none(*_: object, **__: object) -> None:
        """No inbox of the organisation's own is made."""

    for n in range(6):
        book.add_customer(f"0-{n}", address(f"own {n}", relay=f"ws://r{n}.example:1").text)
    everybody = [one.ref for one in book.customers()]
    for part in range(3):
        batch(book, "".join(lines(who, [policy(part)]) for who in everybody), batch=f"part {part}")
    queued = [item for (item,) in book.db.execute("SELECT item FROM message ORDER BY n")]
    monkeypatch.setattr(sending_module, "connect", connect)
    monkeypatch.setattr(inboxes, "create", none)
    monkeypatch.setattr(sending_module, "RELAYS", 3)
    assert await send(book, KEYS, now=lambda: NOW) == Sent(sent=24)
    assert most == 3 and under_way == 0 and len(first) == 7 and "ws://127.0.0.1:1" in first[:3]
    assert all(len(items) == 3 and items == sorted(items, key=queued.index) for items in came.values())


async def test_no_relay_is_dialled_but_those_that_are_named(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a list of relays whoever is elsewhere is left queued and told, and nothing connects there."""
    dialled: list[str] = []

    @asynccontextmanager
    async def connect(url: str) -> AsyncIterator[Relay]:
        dialled.append(url)
        yield Relay(silent=False)

    async def none(*_: object, **__: object) -> None:
        """No inbox of the organisation's own is made."""

    for name in ("inside", "beside"):
        book.add_customer(name, address(name, relay="ws://10.0.0.1:1").text)
    batch(book, "".join(lines(who, [policy(1)]) for who in ("inside", "anna", "beside")))
    monkeypatch.setattr(sending_module, "connect", connect)
    monkeypatch.setattr(inboxes, "create", none)
    assert await send(book, KEYS, now=lambda: NOW, relays=["ws://127.0.0.1:1", "ws://other.example:1"]) == Sent(
        sent=1, queued=2, problems={"a customer's relay is none of those that may be dialled": 2})
    assert dialled == ["ws://127.0.0.1:1"]


@pytest.mark.parametrize("rises", [True, False])
async def test_an_inbox_that_never_ends_is_left(book: Book, monkeypatch: pytest.MonkeyPatch, rises: bool) -> None:
    """Of acknowledgements that never end, new junk or the same item again, one go looks at so many."""
    acknowledged: list[int] = []

    class Items:
        number = 0

        async def page(self) -> list[InboxItem]:
            Items.number += rises or not Items.number
            return [InboxItem(Items.number, b"junk")]

        async def ack(self, number: int) -> None:
            acknowledged.append(number)

    @asynccontextmanager
    async def watch(*_: object) -> AsyncIterator[Items]:
        yield Items()

    async def none(*_: object, **__: object) -> None:
        """It is there."""

    monkeypatch.setattr(inboxes, "create", none)
    monkeypatch.setattr(inboxes, "watch", watch)
    monkeypatch.setattr(collecting_module, "MOST_ITEMS", 50)
    found = await collect(book, KEYS, now=lambda: NOW, wait=60)
    assert (found.taken, found.dropped, acknowledged[-1]) == ((0, 50, 50) if rises else (0, 1, 1))


def test_a_customer_who_gives_a_former_address_again_is_numbered_on(book: Book) -> None:
    """A list with the address of before puts it back: what is sent there then has a number that none had, in one era,
    and keeps nothing of the batch from the others."""
    former, other = address("anna", whose=KEYS).text, address("anna again", whose=KEYS).text
    assert batch(book, lines("anna", [policy(1)]), batch="one")[2] == 1
    for text in (other, former, other, former):
        book.add_customer("anna", text)
    assert batch(book, lines("anna", [policy(2)]) + lines("berta", [policy(3)]), batch="two")[2] == 2
    numbers = book.db.execute("SELECT number FROM message WHERE address = ? ORDER BY n",
                              (address("anna").key,)).fetchall()
    assert numbers == [(1,), (2,)]
    assert book.renew(NOW + 1) == NOW + 1
    book.add_customer("anna", other)
    book.add_customer("anna", former)
    batch(book, lines("anna", [policy(4)]), batch="three")
    assert book.db.execute("SELECT era, number FROM message ORDER BY n DESC LIMIT 1").fetchone() == (NOW + 1, 1)
