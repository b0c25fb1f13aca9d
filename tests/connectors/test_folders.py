"""A folder comes home as the zip that it would be, and nothing but its own files does."""

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.connectors import (
    Connector,
    Found,
    Item,
    Progress,
    Reject,
    folders,
    open_export,
    read,
    read_open,
    recognise_open,
)
from chez.connectors.api import excerpt
from chez.connectors.folders import left_out
from chez.connectors.frames import MAX_ASKED
from chez.connectors.walled import Limits, WalledReading
from chez.errors import ImportStopped, InvalidValue, NotFound
from tests.connectors.attackers import Attacker
from tests.connectors.support import FEED
from tests.connectors.test_archive import CURVE, TABLE, packed
from tests.connectors.test_walled import _Talker, said
from tests.tries import tries


def unpacked(folder: Path, files: dict[str, bytes]) -> Path:
    """A folder with these files."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def behind_walls(path: Path, connector: Connector | None = None) -> Iterator[Item]:
    """An export's items, read behind the walls; what is left out of a folder first."""
    file, source = open_export(path)
    with file:
        chosen = connector or recognise_open(file, source)
        yield from left_out(file)
        with WalledReading(chosen, file, source) as items:
            yield from items


def said_of(items: Iterator[Item]) -> list[Item]:
    """The items but for progress, which is of the bytes packed."""
    return [item for item in items if not isinstance(item, Progress)]


@pytest.mark.parametrize("files", [
    {"a/curve.csv": CURVE, "a/zero": b"", "days.csv": TABLE, "x": b"y"},
    {f"feed/{name}": text.encode() for name, text in sorted(FEED.items())},
], ids=["of several connectors", "of one that reads archives"])
def test_a_folder_says_what_its_zip_says(tmp_path: Path, files: dict[str, bytes]) -> None:
    """The same records and rejects, in the open and behind the walls, as from the zip of the same files."""
    (tmp_path / "export.zip").write_bytes(packed(files))
    folder = unpacked(tmp_path / "export", files)
    expected = said_of(read(tmp_path / "export.zip"))
    assert sum(isinstance(item, Found) for item in expected) > 5
    file, source = open_export(folder)
    with file:
        assert said_of(read_open(recognise_open(file, source), file, source)) == expected
    assert said_of(behind_walls(folder)) == expected


def test_the_same_folder_is_the_same_zip(tmp_path: Path) -> None:
    """Hash and size follow from names and bytes alone, not from times or the order on the disk."""
    one = unpacked(tmp_path / "1" / "mine", {"b": b"2", "a/c": b"1"})
    other = unpacked(tmp_path / "2" / "mine", {"a/c": b"1", "b": b"2"})
    os.utime(other / "b", (1, 1))
    sources = []
    for path in (one, other):
        file, source = open_export(path)
        with file:
            sources.append(source)
            data = file.read()
        assert (hashlib.sha256(data).digest(), len(data)) == (source.sha256, source.size)
    assert sources[0] == sources[1] and sources[0].name == "mine"


def test_how_far_the_hash_is_is_told(tmp_path: Path) -> None:
    """While a large folder, or a file, is read for its hash, each MiB of it is heard of; of a small one nothing."""
    folder = unpacked(tmp_path / "mine", {"a": bytes(5 << 19), "b": bytes(1 << 20)})
    (tmp_path / "file").write_bytes(bytes(5 << 19))
    for path, last in ((folder, 3), (tmp_path / "file", 2), (folder / "b", 1),
                       (unpacked(tmp_path / "small", {"a": b"1"}), 0)):
        heard: list[int] = []
        file, source = open_export(path, heard.append)
        file.close()
        assert [one >> 20 for one in heard] == list(range(1, last + 1)) and max(heard, default=0) <= source.size


def test_nothing_outside_comes_in(tmp_path: Path) -> None:
    """Links to files and folders, pipes and sockets, names that are no text, and what lies too deep are told, and left
    where they are."""
    outside = unpacked(tmp_path / "outside", {"days.csv": TABLE})
    folder = unpacked(tmp_path / "export", {"good.csv": TABLE})
    (folder / "file").symlink_to(outside / "days.csv")
    (folder / "folder").symlink_to(outside, target_is_directory=True)
    (folder / "round").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.csv")).write_bytes(TABLE)
    (folder.joinpath(*["d"] * folders.MAX_FOLDERS)).mkdir(parents=True)
    items = list(behind_walls(folder))
    assert {item.member for item in items if isinstance(item, Found)} == {"good.csv"}
    told = {item.member: item.reason for item in items if isinstance(item, Reject)}
    deep = excerpt("/".join(["d"] * folders.MAX_FOLDERS))
    assert told == {
        "file": "it is a link, and links are not followed", "folder": "it is a link, and links are not followed",
        "round": "it is a link, and links are not followed", "pipe": "it is no plain file",
        "\\xff.csv": "its name is no text", deep: "it lies in more than 64 folders"}


@pytest.mark.parametrize("swap", ["link", "link on the way", "pipe", "shorter", "gone"])
def test_what_is_put_in_a_files_place_is_not_read(tmp_path: Path, swap: str) -> None:
    """A file that turns into a link or a pipe, or loses its end, once the folder was listed, is broken: no byte from
    elsewhere comes in."""
    other = TABLE.replace(b"BLEU", b"ROUGE")
    outside = unpacked(tmp_path / "outside", {"days.csv": other})
    folder = unpacked(tmp_path / "export", {"in/days.csv": TABLE, "a.csv": TABLE})
    file, source = open_export(folder)
    with file:
        chosen = recognise_open(file, source)
        inner = folder / "in" / "days.csv"
        if swap == "link on the way":
            (folder / "in").rename(tmp_path / "away")
            (folder / "in").symlink_to(outside, target_is_directory=True)
        elif swap == "shorter":
            inner.write_bytes(TABLE[:20])
        else:
            inner.unlink()
            if swap == "link":
                inner.symlink_to(outside / "days.csv")
            elif swap == "pipe":
                os.mkfifo(inner)
        file.seek(0)
        file.raw._open = ("", -1)  # type: ignore[attr-defined]  # as after any other file
        with WalledReading(chosen, file, source) as reading:
            items = list(reading)
    assert {item.member for item in items if isinstance(item, Found)} - {"in/days.csv"} == {"a.csv"}
    assert "ROUGE" not in str([item.record for item in items if isinstance(item, Found)])
    assert any(isinstance(item, Reject) and item.member == "in/days.csv" and "broken" in item.reason
               for item in items)


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many files, too long names in all, and none at all are told, with what to do."""
    folder = unpacked(tmp_path / "export", {str(n): b"x" for n in range(5)})
    monkeypatch.setattr(folders, "MAX_DIRECTORY", 100)
    with pytest.raises(InvalidValue, match="take more than 100 bytes") as caught:
        open_export(folder)
    assert "one by one" in caught.value.hint
    monkeypatch.setattr(folders, "MAX_MEMBERS", 4)
    with pytest.raises(InvalidValue, match="more than 4 files"):
        open_export(folder)
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    with pytest.raises(InvalidValue, match="no file in"):
        open_export(tmp_path / "empty")
    with pytest.raises(NotFound):
        open_export(tmp_path / "nowhere")


NAMES = st.text(st.sampled_from("abé .\\:"), min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))


@given(files=st.dictionaries(NAMES, st.binary(max_size=300), min_size=1, max_size=5), data=st.data())
@settings(max_examples=tries(40), deadline=None)
def test_any_folder_is_a_zip(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes],
                             data: st.DataObject) -> None:
    """Whatever is in a folder, its zip is one that a reader of zips takes, with the same bytes; any part of it is
    that part."""
    file, source = open_export(unpacked(tmp_path_factory.mktemp("any"), files))
    with file:
        whole = file.read()
        with zipfile.ZipFile(io.BytesIO(whole)) as made:
            assert {name: made.read(name) for name in made.namelist()} == files
        at = data.draw(st.integers(0, source.size))
        size = data.draw(st.integers(0, 100))
        file.seek(at)
        assert file.read(size) == whole[at : at + size]


# --- a reader that was taken over, and asks --------------------------------------------


SMALL = Limits(silence=0.3)


def asked(folder: Path, *asks: tuple[int, int]) -> str:
    """How an import ends whose reader asks for these parts and takes none of them."""
    file, source = open_export(folder)
    words = said(*[[["a", *ask]] for ask in asks], [["e"]])
    with file, pytest.raises(ImportStopped) as caught:
        # The reading end stays open here, as a process's would that takes nothing.
        with WalledReading(Attacker(), file, source, SMALL, lambda order: _Holding(words, order.file)) as reading:
            list(reading)
    return caught.value.message


class _Holding(_Talker):
    """One that keeps its end of the pipe open."""

    def __init__(self, data: bytes, descriptor: int) -> None:
        super().__init__(data)
        self._kept = os.dup(descriptor)

    def end(self) -> int:
        if self._kept >= 0:
            os.close(self._kept)
            self._kept = -1
        return super().end()


def test_a_reader_that_asks_falsely_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets no more than the folder's bytes so many times over, may not ask for too much at once, and is not waited
    for when it takes nothing."""
    folder = unpacked(tmp_path / "export", {"a": bytes(300_000)})
    assert "did not take" in asked(folder, (0, MAX_ASKED), (0, MAX_ASKED))
    assert "broke its word" in asked(folder, (0, MAX_ASKED + 1))
    assert "broke its word" in asked(folder, (-1, 1))
    monkeypatch.setattr("chez.connectors.serving.SPARE", -16 * 300_000)
    assert "more than a folder" in asked(folder, *[(0, 50)] * 400)


def test_a_reader_of_a_file_may_not_ask(tmp_path: Path) -> None:
    """Where there is no folder, a question for its bytes is a false word."""
    file, source = open_export(unpacked(tmp_path, {"a": b"x"}) / "a")
    words = said([msgspec.to_builtins(["a", 0, 1])], [["e"]])
    with file, pytest.raises(ImportStopped, match="broke its word"):
        list(WalledReading(Attacker(), file, source, SMALL, lambda order: _Talker(words)))
