"""Parsers behind walls: the same items as in the open, and no attack that leads anywhere."""

import io
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.connectors import Connector, Found, Item, Progress, Reject, Source, open_source, read, recognise
from chez.connectors.frames import MAX_MESSAGE, MAX_RECORD
from chez.connectors.registry import find
from chez.connectors.wall import Order, find_wall
from chez.connectors.walled import Limits, WalledReading
from chez.errors import BadArchive, ChezError, ImportStopped, InvalidValue, WallMissing
from chez.vocabulary import TariffDay, Transaction
from chez_sandbox.runtime import walls
from tests.connectors.attackers import GOOD, TRIES, Attacker, Declared, Lazy, Own, Renamed, Undeclared
from tests.connectors.support import OFX, TEMPO
from tests.connectors.test_archive import CURVE, TABLE, packed
from tests.tries import tries

ALL = Limits()
SMALL = Limits(memory=256 << 20, spare=1 << 20, cpu_spare=2)


def walled(path: Path, connector: Connector | None = None, limits: Limits = ALL) -> Iterator[Item]:
    """A file's items, read behind the walls."""
    file, source = open_source(path)
    with file, WalledReading(connector or recognise(path), file, source, limits) as items:
        yield from items


def attacked(folder: Path, word: str) -> tuple[list[Item], ChezError | None]:
    """What comes of a file that makes the attacker try something, after its good record."""
    path = folder / "attack"
    path.write_text(f"attack {word}")
    items: list[Item] = []
    try:
        # What came before an error stays in the list: it is filled one by one.
        items.extend(walled(path, Attacker(), SMALL))
    except ChezError as error:
        assert items[:2] == [Found(GOOD, 1), Progress(1)]
        return items[2:], error
    return items[2:], None


def test_behind_walls_a_file_says_the_same() -> None:
    """A real file gives equal items in the same order behind the walls and in the open, wherever it stood before."""
    file, source = open_source(TEMPO)
    with file:
        file.read(100)
        with WalledReading(recognise(TEMPO), file, source) as items:
            assert list(items) == list(read(TEMPO))


NICED = """
import os, sys
from pathlib import Path
from chez.connectors import open_source, recognise
from chez.connectors.walled import WalledReading
from chez_sandbox.walled import launcher

def heard(process):
    said = hear(process)
    print(os.getpriority(os.PRIO_PROCESS, 0), os.getpriority(os.PRIO_PROCESS, process._process.pid))
    return said

hear, launcher._hear = launcher._hear, heard
path = Path(sys.argv[1])
file, source = open_source(path)
with file, WalledReading(recognise(path), file, source) as items:
    print(len(list(items)))
"""


def test_who_is_niced_reads_files_too() -> None:
    """The process that reads goes after the one that asked, also after one that lets others go first: nobody but root
    may have it go before, and it ended when it tried."""
    command = ["nice", "-n", "10", sys.executable, "-c", NICED, str(TEMPO)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    ours, its, items = map(int, done.stdout.split())
    assert its == min(19, ours + 5) > ours and items == len(list(read(TEMPO)))


def test_behind_walls_a_zip_says_the_same(tmp_path: Path) -> None:
    """A zip of several formats is planned in the open and read behind the walls, to equal items."""
    path = tmp_path / "export.zip"
    path.write_bytes(packed({"days.csv": TABLE, "a/curve.csv": CURVE, "x": b"y", "../z": b"z",
                             "bank.ofx": (OFX / "checking.ofx").read_bytes()}))
    assert list(walled(path)) == list(read(path))


def test_a_refusal_comes_through(tmp_path: Path) -> None:
    """A file that is not what it seemed ends in the connector's own error, words and all."""
    path = tmp_path / "curve.csv"
    path.write_bytes(CURVE.replace(b"Horodate", b"Date"))
    with pytest.raises(InvalidValue, match="header is not that of an Enedis") as caught:
        list(walled(path))
    assert caught.value.hint.startswith("Download")


def test_what_is_imported_late_is_there(tmp_path: Path) -> None:
    """A connector reads its example before the walls go up, so that what it imports then is there behind them."""
    path = tmp_path / "lazy"
    path.write_bytes(b"lazy")
    assert list(walled(path, Lazy())) == [Found(GOOD, 1)]


def test_no_file_no_network_no_process_no_entropy(tmp_path: Path) -> None:
    """What native code would try first is refused, one by one, with no key near; then the parser is stopped."""
    [loaded, *items], error = attacked(tmp_path, "socket")
    assert loaded == Reject(1, "loaded: []", "")
    assert [item.reason.partition(":")[0] for item in items if isinstance(item, Reject)] == list(TRIES)
    assert not any(isinstance(item, Found) for item in items)
    assert isinstance(error, ImportStopped) and "Operation not permitted" in error.message and "again" in error.hint


@pytest.mark.parametrize(("word", "reason"), [
    ("memory", "memory"), ("exit", "code 3"), ("crash", "signal 11"),
    pytest.param("loop", "signal 9", marks=pytest.mark.slow),
])
def test_limits_end_a_parser(tmp_path: Path, word: str, reason: str) -> None:
    """Memory without end, a loop (by its seconds of processor), a crash and a sudden exit end as ImportStopped."""
    _, error = attacked(tmp_path, word)
    assert isinstance(error, ImportStopped) and reason in error.message


def test_bad_records_cost_themselves(tmp_path: Path) -> None:
    """A record that is not of its type is a reject, and so is one that is too large; reading goes on."""
    items, error = attacked(tmp_path, "wrong")
    assert error is None and items[1:] == [Found(GOOD, 8)]
    assert isinstance(items[0], Reject) and items[0].line == 7 and "valid" in items[0].reason
    items, error = attacked(tmp_path, "huge")
    assert error is None and isinstance(items[0], Reject) and f"{MAX_RECORD:,}" in items[0].reason


# --- a process that says anything: no process is needed for that --------------------------


class _Talker:
    """A walled process that was taken over: it says these bytes and ends."""

    walls: tuple[str, ...] = ()

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        self.given = 0

    def read(self, size: int, seconds: float) -> bytes:
        part = self._data.read(size)
        self.given += len(part)
        return part

    def end(self) -> int:
        return -9


def heard(data: bytes, connector: Connector | None = None, size: int = 100) -> list[Item]:
    """What the engine makes of these bytes on the pipe."""
    with open(__file__, "rb") as file:
        source = Source("export", bytes(32), size)
        return list(WalledReading(connector or Attacker(), file, source, SMALL, lambda order: _Talker(data)))


def said(*messages: object) -> bytes:
    """Messages as they go over the pipe."""
    bodies = [msgspec.msgpack.encode(message) for message in messages]
    return b"".join(len(body).to_bytes(4, "big") + body for body in bodies)


KIND = f"{TariffDay.__module__}:TariffDay"
RECORD = msgspec.to_builtins(GOOD)
END = ["e"]


def test_the_honest_word() -> None:
    """What an honest process says is heard; progress beyond the file is cut to it."""
    assert heard(said([["f", KIND, 1, RECORD, "m", ""], ["p", 10**9], ["r", 2, "why", "text", ""]], [END])) == [
        Found(GOOD, 1, "m"), Progress(100), Reject(2, "why", "text")]


@pytest.mark.parametrize("data", [
    b"", b"\x00", b"\x00\x00\x00\x04\xc1\xc1\xc1\xc1", b"\xff\xff\xff\xff", said([END])[:-1],
    (100_000).to_bytes(4, "big") + b"\x91" * 100_000, said({"f": 1}), said([["z", 1]]), said([["f"]]),
    said([["f", "os:system", 1, {}, "", ""]]), said([["f", "builtins:dict", 1, {}, "", ""]]),
    said([["f", KIND, 1, RECORD, "", "bank/7"]]), said([["f", KIND, 0, RECORD, "", ""]]),
    said([["f", KIND, 1, RECORD, "\x1b[2J", ""]]), said([["f", KIND, 1, RECORD, "m" * 600, ""]]),
    said([["p", -1]]), said([["r", 1, "x" * 3000, "", ""]]), said([["x", "SystemExit", "gone", ""]]),
    said([["r", 1, "\x1b[2J", "", "\x07"], END]),
])
def test_a_false_word_ends_reading(data: bytes) -> None:
    """Garbage, false lengths, deep nesting, foreign types, false readers and foreign errors end as ImportStopped."""
    with pytest.raises(ImportStopped) as caught:
        heard(data)
    assert caught.value.message.isprintable()


def test_a_parser_gives_no_records_but_of_its_connectors_types() -> None:
    """A taken-over parser can't write what another connector writes: a valid record of a type of the vocabulary that
    its own does not declare ends reading."""
    line = Transaction(account="x/1", reference="1", posted=date(2024, 1, 1), amount=Decimal(9), currency="EUR",
                       kind="fee")
    kind = f"{Transaction.__module__}:Transaction"
    words = said([["f", kind, 1, msgspec.to_builtins(line), "", ""]], [END])
    assert heard(words, find("ofx")) == [Found(line, 1)]
    for connector in (find("icalendar"), Undeclared()):
        with pytest.raises(ImportStopped, match="broke its word"):
            heard(words, connector)


def test_texts_are_escaped_and_records_held_to_their_type() -> None:
    """Escapes in reasons, excerpts and errors arrive escaped; a record with other fields or values is a reject."""
    [item] = heard(said([["r", 1, "\x1b[2J", "\x1b[2J", ""], END]))
    assert item == Reject(1, "\\x1b[2J", "\\x1b[2J")
    for bad in ({}, {**RECORD, "scheme": 1}, {**RECORD, "date": "0000-00-00"}, {**RECORD, "colour": "mauve"}, 5, []):
        [item] = heard(said([["f", KIND, 3, bad, "", ""], END]))
        assert isinstance(item, Reject) and item.line == 3 and item.reason.isprintable()
    for code, kind in (("InvalidValue", InvalidValue), ("BadArchive", BadArchive)):
        with pytest.raises(kind) as caught:
            heard(said([["x", code, "\x1b[2J", "\x1b[2J"]]))
        assert caught.value.message.isprintable() and caught.value.hint.isprintable()


def test_output_is_bounded_by_the_file() -> None:
    """A process that never stops talking is stopped at a multiple of the file's size, in bounded memory."""
    many = said([["f", KIND, 1, RECORD, "", ""]] * 2000)
    talker = _Talker(many * 40)
    with open(__file__, "rb") as file, pytest.raises(ImportStopped, match="more than a file of this size"):
        reading = WalledReading(Attacker(), file, Source("x", bytes(32), 100), SMALL, lambda order: talker)
        for _ in reading:
            pass
    assert talker.given <= SMALL.spare + 100 * SMALL.factor + MAX_MESSAGE


@given(st.data())
@settings(max_examples=tries(60), deadline=None)
def test_mutated_words(data: st.DataObject) -> None:
    """Any damage to what an honest process says gives items that are safe, or a typed error."""
    words = bytearray(said([["f", KIND, 1, RECORD, "m", ""], ["p", 50], ["r", 2, "why", "text", ""]], [END]))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(words) - 1))
        words[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    try:
        items = heard(bytes(words))
    except ChezError as error:
        assert error.message.isprintable() and error.hint.isprintable()
        return
    for item in items:
        if isinstance(item, Found):
            assert isinstance(item.record, TariffDay) and isinstance(item.record.date, date) and item.row >= 1
        elif isinstance(item, Reject):
            assert item.reason.isprintable() and item.text.isprintable() and item.member.isprintable()


class _Silent(_Talker):
    """One that says nothing more after its first word, and does not end."""

    def read(self, size: int, seconds: float) -> bytes:
        assert seconds == SMALL.silence
        part = super().read(size, seconds)
        if not part:
            raise TimeoutError
        return part


def test_silence_ends_reading() -> None:
    """A process that says nothing for too long is stopped; what it said before stays."""
    with open(__file__, "rb") as file:
        reading = WalledReading(Attacker(), file, Source("x", bytes(32), 100), SMALL,
                                lambda order: _Silent(said([["p", 5]])))
        assert next(reading) == Progress(5)
        with pytest.raises(ImportStopped, match="said nothing for 120 seconds"):
            next(reading)


# --- finding the wall, and the connector behind it ----------------------------------------


def test_no_wall_no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing offers walls, or those required do not stand, nothing is read: WallMissing says what lacks."""
    monkeypatch.setattr("chez.connectors.wall.OWN", ("gone", "no_such_module:launch"))
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [])
    with pytest.raises(WallMissing, match="no_such_module"):
        find_wall()
    monkeypatch.undo()
    monkeypatch.setattr(walls, "REQUIRED", frozenset({"a moat"}))
    with pytest.raises(WallMissing, match="a moat"):
        list(walled(TEMPO))


def test_an_installed_wall_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package may bring the wall, say for another system."""
    from importlib.metadata import EntryPoint

    entry = EntryPoint("other", f"{__name__}:other", "chez.walls")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry] if group == "chez.walls" else [])
    assert find_wall() is other
    assert list(walled(TEMPO)) == [Reject(1, "another wall", "")]


def other(order: Order) -> _Talker:
    """A wall that is another package's."""
    return _Talker(said([["r", 1, "another wall", "", ""], END]))


def test_a_connector_that_another_process_can_not_find(tmp_path: Path) -> None:
    """A class inside a function, and one whose package is broken, are told with what to do."""
    class Local(Attacker):
        """Not to be imported."""

    path = tmp_path / "attack"
    path.write_text("attack wrong")
    with pytest.raises(InvalidValue, match="can't find") as caught:
        list(walled(path, Local()))
    assert "in_process" in caught.value.hint
    with pytest.raises(WallMissing, match="could not be prepared"):
        list(walled(path, Renamed("renamed")))


def test_types_of_a_connectors_own_are_declared(tmp_path: Path) -> None:
    """Records come in types that the connector declares in `types`; one of another type is told to its author."""
    path = tmp_path / "own"
    path.write_text("x")
    with pytest.raises(InvalidValue, match="does not declare"):
        list(walled(path, Undeclared()))
    assert list(walled(path, Declared())) == [Found(Own(name="x"), 1)]
