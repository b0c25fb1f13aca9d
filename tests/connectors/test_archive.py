"""Zips from outside: bounded, streamed, each bad member costing itself."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.connectors import Found, Item, Progress, Reject, Source, read, recognise
from chez.connectors.archive import MAX_DIRECTORY, MAX_MEMBERS, SPARE, Archive
from chez.connectors.linky import Linky
from chez.connectors.tempo import Tempo
from chez.connectors.zipped import Zipped
from chez.errors import BadArchive, ChezError, InvalidValue
from tests.connectors.support import LINKY, OFX, records, rejects
from tests.tries import tries

TABLE = b"".join(b"%02d/01/2024;BLEU\n" % day for day in range(1, 29))
CURVE = b"".join(LINKY.read_bytes().splitlines(keepends=True)[:60])
WAYS = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED, "lzma": zipfile.ZIP_LZMA}


def packed(files: dict[str, bytes], way: str = "deflated") -> bytes:
    """A zip with these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", WAYS[way]) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def opened(data: bytes) -> Archive:
    """The archive with these bytes."""
    return Archive(io.BytesIO(data), len(data))


def zipped(data: bytes) -> list[Item]:
    """What a plan for two names finds in an archive."""
    plan = Zipped({"days.csv": Tempo(), "curve.csv": Linky()})
    return list(plan.read(io.BytesIO(data), Source("export.zip", bytes(32), len(data))))


def test_a_zip_of_known_files_is_read_by_those_who_know_them(tmp_path: Path) -> None:
    """Each member goes to the connector that knows it; records say member, row and reader, others are rejects."""
    path = tmp_path / "export.zip"
    path.write_bytes(packed({"my data/days.csv": TABLE, "bank.ofx": (OFX / "checking.ofx").read_bytes(),
                             "curve.csv": CURVE, "photo.jpg": b"\xff\xd8\xff"}))
    assert recognise(path).name == "zip"
    items = list(read(path))
    found = {(item.member, item.by) for item in items if isinstance(item, Found)}
    assert found == {("my data/days.csv", "tempo/1"), ("bank.ofx", f"ofx/{recognise(OFX / 'checking.ofx').version}"),
                     ("curve.csv", "linky/1")}
    (tmp_path / "days.csv").write_bytes(TABLE)
    alone = [(item.row, item.record) for item in read(tmp_path / "days.csv") if isinstance(item, Found)]
    assert [(i.row, i.record) for i in items if isinstance(i, Found) and i.by == "tempo/1"] == alone
    assert [item for item in items if isinstance(item, Reject)] == [
        Reject(1, "no connector knows this file", "", "photo.jpg")]
    done = [item.done for item in items if isinstance(item, Progress)]
    assert done == sorted(done) and done[-1] == path.stat().st_size


def test_a_zip_that_nobody_knows(tmp_path: Path) -> None:
    """Without a known member, and with nothing but an archive inside, the answer names the known formats."""
    path = tmp_path / "export.zip"
    path.write_bytes(packed({"photo.jpg": b"\xff\xd8", "inner.zip": packed({"days.csv": TABLE})}))
    with pytest.raises(InvalidValue, match="no file in a format") as caught:
        recognise(path)
    assert "linky" in caught.value.hint


def test_a_zip_of_which_nothing_can_be_read_says_why(tmp_path: Path) -> None:
    """Who has no file in it recognised is told what was not looked into, of many the first ones; and what to do."""
    path = tmp_path / "export.zip"
    path.write_bytes(packed({"photo.jpg": b"\xff\xd8", **{f"../{n}.csv": TABLE for n in range(5)}}))
    with pytest.raises(InvalidValue, match="leads out of the archive") as caught:
        recognise(path)
    assert caught.value.message.count("leads out") == 3 and caught.value.message.endswith(", and 2 more")
    locked = bytearray(packed({"days.csv": TABLE}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(signature) + offset] |= 1
    path.write_bytes(locked)
    with pytest.raises(InvalidValue, match=r"'days.csv' \(it is encrypted: unpack"):
        recognise(path)


def test_a_zip_of_too_many_files_is_to_be_unpacked() -> None:
    """It is whole, so that to download it again would not help."""
    with pytest.raises(BadArchive, match="directory has more than") as caught:
        opened(packed({f"{n:0500}": b"" for n in range(8000)}))
    assert caught.value.hint.startswith("Unpack it")


def test_text_of_two_bytes_a_character_is_named(tmp_path: Path) -> None:
    """A table that a spreadsheet saved as Unicode text is in no format known here, and it is told how to save it."""
    path = tmp_path / "days.csv"
    path.write_bytes(TABLE.decode().encode("utf-16"))
    with pytest.raises(InvalidValue, match="UTF-16") as caught:
        recognise(path)
    assert "UTF-8" in caught.value.hint


@pytest.mark.parametrize("name", ["../days.csv", "/etc/days.csv", "a/../../b", "a\\..\\b", "C:/x", "a//b", "\x1b[2J",
                                  "x" * 600])
def test_a_name_that_leads_out_costs_itself(name: str) -> None:
    """A member whose name is a path out of the archive, or steers a terminal, is a reject; the others are read."""
    archive = opened(packed({name: TABLE, "days.csv": TABLE}))
    assert [member.name for member in archive.members] == ["days.csv"]
    [bad] = archive.rejects
    assert "name" in bad.reason and bad.member.isprintable() and len(bad.member) <= 120


def test_a_member_without_a_name_costs_itself() -> None:
    """A name that a zero byte cuts to nothing is a reject; the others are read."""
    archive = opened(packed({"abc": TABLE, "days.csv": TABLE}).replace(b"abc", b"\x00bc"))
    assert [member.name for member in archive.members] == ["days.csv"]
    assert [bad.reason for bad in archive.rejects] == ["its name leads out of the archive"]


def _encrypted() -> bytes:
    data = bytearray(packed({"days.csv": TABLE}, "stored"))
    for at in (6, data.index(b"PK\x01\x02") + 8):
        data[at] |= 1
    return bytes(data)


def _flipped() -> bytes:
    data = bytearray(packed({"days.csv": TABLE}, "stored"))
    data[data.index(b"BLEU") + 1] ^= 0xFF
    return bytes(data)


def _longer_than_it_says() -> bytes:
    data = bytearray(packed({"days.csv": TABLE}))
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", 100)
    return bytes(data)


@pytest.mark.parametrize("make", [_encrypted, _flipped, _longer_than_it_says,
                                  lambda: packed({"days.csv": TABLE}, "lzma")])
def test_a_bad_member_is_a_reject_with_its_name(make: Callable[[], bytes]) -> None:
    """Encrypted, damaged, falsely sized or strangely compressed: one reject that names the member, no error."""
    items = zipped(make())
    bad = [item for item in items if isinstance(item, Reject)]
    assert bad and {item.member for item in bad} == {"days.csv"}
    assert all(item.reason.isprintable() for item in bad)


def test_a_member_that_is_not_what_it_seemed_ends_alone() -> None:
    """A member that its connector refuses is one reject; the next one is read."""
    items = zipped(packed({"curve.csv": CURVE.replace(b"Horodate", b"Date"), "days.csv": TABLE}))
    assert [reason for _, reason in rejects(items)] == ["the header is not that of an Enedis load curve"]
    assert len(records(items)) == TABLE.count(b"\n")


def test_half_an_archive() -> None:
    """An archive cut short is refused by name of the trouble."""
    data = packed({"days.csv": TABLE})
    for cut in (4, len(data) // 2, len(data) - 1):
        with pytest.raises(BadArchive, match="can't be read"):
            opened(data[:cut])


def test_a_bomb_is_stopped_while_it_unpacks() -> None:
    """A member of zeros ends at the bound, after no more than that was unpacked."""
    bomb = packed({"days.csv": bytes(40 * 1024 * 1024)})
    archive = opened(bomb)
    count = 0
    with archive.open("days.csv") as file, pytest.raises(BadArchive, match="times its size"):
        while part := file.read(1 << 16):
            count += len(part)
    assert count <= len(bomb) * 100 + SPARE


def test_members_that_share_one_block_are_one() -> None:
    """Many entries of the directory for one compressed block count once; the others are rejects."""
    archive = opened(overlapping(1000, 50))
    assert len(archive.members) == 1 and len(archive.rejects) == 49


def overlapping(size: int, members: int) -> bytes:
    """Many directory entries for one compressed block, all with the same name in the local header."""
    data = bytes(size)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = deflate.compress(data) + deflate.flush()
    crc = zlib.crc32(data)
    local = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 8, 0, 0, crc, len(body), size, 1, 0) + b"a" + body
    entry = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, crc, len(body), size, 1, 0, 0, 0, 0,
                        0, 0) + b"a"
    many = entry * members
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, members, members, len(many), len(local), 0)
    return local + many + end


def test_a_directory_that_would_fill_memory_is_not_read() -> None:
    """A directory longer than its bound is refused before it is read, and so are too many files."""
    entry = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0)
    for count, reason in ((MAX_DIRECTORY // 51 + 1, "directory"), (MAX_MEMBERS + 1, "files")):
        many = b"".join(entry + b"%05d" % (n % 100_000) for n in range(count))
        end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count & 0xFFFF, count & 0xFFFF, len(many), 0, 0)
        with pytest.raises(BadArchive, match=reason):
            opened(many + end)


class _Whole:
    """A connector of an archive as a whole."""

    name, version, title = "whole", 1, "an archive as a whole"

    def recognise(self, head: bytes, name: str) -> bool:
        return False

    def recognise_members(self, names: list[str]) -> bool:
        return "whole/manifest.txt" in names

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        archive = Archive(file, source.size)
        for member in archive.members:
            if member.name.endswith(".csv"):
                yield from archive.items(member, source, Tempo().read)


def test_a_connector_may_read_an_archive_as_a_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that knows the names of an archive's files gets the archive, before its members are asked about."""
    from importlib.metadata import EntryPoint

    entry = EntryPoint("whole", f"{__name__}:_Whole", "chez.connectors")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry])
    path = tmp_path / "export.zip"
    path.write_bytes(packed({"whole/manifest.txt": b"1", "whole/days.csv": TABLE}))
    assert recognise(path).name == "whole"
    items = list(read(path))
    assert len(records(items)) == 28 and {i.member for i in items if isinstance(i, Found)} == {"whole/days.csv"}


@given(st.data())
@settings(max_examples=tries(60), deadline=None)
def test_mutated_archives(data: st.DataObject) -> None:
    """A damaged archive gives records, rejects or a typed error, never another exception."""
    seed = packed({"days.csv": TABLE[:100], "curve.csv": CURVE[:400], "x": b"y"},
                  data.draw(st.sampled_from(["stored", "deflated"])))
    mutated = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mutated) - 1))
        if data.draw(st.booleans()):
            mutated[at] = data.draw(st.integers(0, 255))
        else:
            mutated[at : at + 4] = data.draw(st.sampled_from([b"", b"\xff" * 4, b"PK\x05\x06", bytes(4)]))
    try:
        items = zipped(bytes(mutated))
    except ChezError as error:
        assert error.message.isprintable()
        return
    assert all(item.reason.isprintable() and item.member.isprintable() for item in items if isinstance(item, Reject))
