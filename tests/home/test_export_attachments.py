"""Attachments through an export: each once, added again elsewhere; and exports made to do harm."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

import chez
from chez.blobs import whole
from chez.crypto import Kdf
from chez.errors import BadArchive
from tests.blobs.support import CHUNK, content, drop, files, read


def rewrite(folder: Path, path: str, lines: list[dict[str, Any]]) -> None:
    """An export that somebody else made: these lines in one of its files, and a manifest that fits them."""
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    (folder / path).write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    (entry,) = [file for file in manifest["files"] if file["path"] == path]
    entry |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "lines": len(lines)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


async def exported(home: chez.Home, folder: Path, data: bytes = b"content") -> chez.Blob:
    """An export of a home with one attachment."""
    blob = await home.blobs.add(data, name="x.bin")
    await home.collection("notes").put({"file": blob, "list": [{"again": blob}]}, id="a")
    await home.export(folder)
    return blob


async def test_attachments_travel_with_their_records(home: chez.Home, tmp_path: Path) -> None:
    """Each content is one plain file, private to the person; in another home it is a blob of that home's own."""
    data = content(2 * CHUNK + 7)
    blob = await home.blobs.add(data, name="photo.jpg", media_type="image/jpeg")
    empty = await home.blobs.add(b"")
    for id in "ab":
        await home.collection("notes").put({"photo": blob, "more": [{"empty": empty}]}, id=id)
    report = await home.export(tmp_path / "out")
    assert (report.attachments, report.missing) == (2, 0) and report.bytes > len(data)
    file = tmp_path / "out" / "attachments" / blob.id
    assert file.read_bytes() == data and oct(file.stat().st_mode & 0o777) == "0o600"
    assert len(list((tmp_path / "out" / "attachments").iterdir())) == 3
    again = await home.import_file(tmp_path / "out")
    assert (again.unchanged, again.updated, again.added) == (2, 0, 0)

    await chez.create(tmp_path / "other", passphrase="b", kdf=Kdf.minimum())
    async with chez.open(tmp_path / "other", passphrase="b") as other:
        told: list[tuple[int, int]] = []
        for outcome in ("added", "unchanged"):
            told.clear()
            report_b = await other.import_file(tmp_path / "out", progress=lambda *at: told.append(at))
            assert getattr(report_b, outcome) == 2 and report_b.rejected == 0
            assert told == sorted(told) and told[-1][0] == told[-1][1] > len(data)
        value = (await other.collection("notes").get("a")).value
        assert value["photo"].id != blob.id and (value["photo"].name, value["photo"].size) == ("photo.jpg", len(data))
        assert await read(other, value["photo"]) == data and await read(other, value["more"][0]["empty"]) == b""
        assert (await other.blobs.status()).known == 2


async def test_what_is_not_here_is_counted(home: chez.Home, tmp_path: Path) -> None:
    """An attachment of which a piece is missing, or that nobody has, is told and leaves no half of a file."""
    blob = await exported(home, tmp_path / "first", content(3 * CHUNK))
    await home.collection("notes").put({"photo": {"_blob": "../" * 21 + "x", "size": 1}}, id="forged")
    sorted(files(home.path), key=lambda file: file.stat().st_size)[-1].unlink()
    report = await home.export(tmp_path / "out")
    assert (report.records, report.attachments, report.missing) == (2, 0, 2)
    assert [path.name for path in (tmp_path / "out" / "attachments").iterdir()] == ["index.jsonl"]
    assert blob.id not in (tmp_path / "out" / "attachments" / "index.jsonl").read_text()
    drop(home.path)
    assert (await home.import_file(tmp_path / "first")).rejected == 0
    assert await read(home, (await home.collection("notes").get("a")).value["file"]) == content(3 * CHUNK)


@pytest.mark.parametrize("harm", ["bytes", "content"])
async def test_what_is_damaged_here_or_a_lie_is_counted_and_no_file_of_an_export(
        home: chez.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    """Of other bytes than it was added with, or another content than its manifest says: nobody is to take it for it."""
    await exported(home, tmp_path / "first", content(3 * CHUNK))
    if harm == "bytes":
        file = sorted(files(home.path), key=lambda file: file.stat().st_size)[-1]
        file.write_bytes(bytes(file.stat().st_size))
    else:
        monkeypatch.setattr(whole.Content, "digest", lambda self: b"another" * 4)
    report = await home.export(tmp_path / "out")
    assert (report.records, report.attachments, report.missing) == (1, 0, 1)
    assert [path.name for path in (tmp_path / "out" / "attachments").iterdir()] == ["index.jsonl"]


@pytest.mark.parametrize("harm", ["altered", "link", "pipe", "gone", "longer", "path", "twice", "no json", "long line",
                                  "file twice", "moved"])
async def test_attachments_made_to_do_harm(home: chez.Home, tmp_path: Path, harm: str) -> None:
    """Nothing outside the folder is read, nothing hangs, and nothing of such an export comes in."""
    out = tmp_path / "out"
    blob = await exported(home, out)
    await home.collection("notes").put({"n": 2}, id="a")
    file, index = out / "attachments" / blob.id, "attachments/index.jsonl"
    (line,) = [json.loads(text) for text in (out / index).read_text().splitlines()]
    (tmp_path / "secret").write_bytes(b"content")
    if harm == "altered":
        file.write_bytes(b"CONTENT")
    elif harm == "longer":
        file.write_bytes(b"contents")
    elif harm in ("link", "pipe", "gone"):
        file.unlink()
        if harm == "link":
            file.symlink_to(tmp_path / "secret")
        elif harm == "pipe":
            os.mkfifo(file)
    elif harm == "path":
        rewrite(out, index, [line | {"id": "../../secret"}])
    elif harm == "twice":
        rewrite(out, index, [line, line])
    elif harm == "no json":
        rewrite(out, index, [{"id": 7}])
    elif harm == "long line":
        rewrite(out, index, [line | {"pad": "x" * 5000}])
    else:
        manifest = json.loads((out / "manifest.json").read_text())
        if harm == "file twice":
            manifest["files"] *= 2
        else:
            manifest["files"][0]["holds"] = "attachments"
        (out / "manifest.json").write_text(json.dumps(manifest))
    before = files(home.path)
    with pytest.raises(BadArchive):
        await home.import_file(out)
    assert files(home.path) == before
    assert (await home.collection("notes").get("a")).value == {"n": 2}


async def test_records_may_not_be_read_through_a_link(home: chez.Home, tmp_path: Path) -> None:
    """A file of records that is a link is refused, though its content fits."""
    await exported(home, tmp_path / "out")
    file = tmp_path / "out" / "records" / "notes.jsonl"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadArchive):
        await home.import_file(tmp_path / "out")


async def test_reserved_fields_cost_their_line(home: chez.Home, tmp_path: Path) -> None:
    """What is kept beside the fields has known names and kinds; a line with others is told, the rest comes in."""
    await exported(home, tmp_path / "out")
    bad: list[dict[str, Any]] = [{"id": "x", "value": {}, "about": about} for about in (
        {"id": "other"}, {"version": "1"}, {"version": -1}, {"blob": "0" * 64}, {"": 1}, {"_deleted": True},
        {"counter:" + "0" * 64 + ":n": 5}, {"version:7": True})]
    rewrite(tmp_path / "out", "records/notes.jsonl", [*bad, {"id": "good", "value": {"n": 1}}])
    report = await home.import_file(tmp_path / "out")
    assert (report.added, report.rejected) == (1, len(bad))


async def test_long_lines_are_not_held_together(home: chez.Home, tmp_path: Path) -> None:
    """Large records are written a few at a time; one that is too large costs itself."""
    notes = home.collection("notes")
    for n in range(9):
        await notes.put({"text": str(n) * 700_000}, id=str(n))
    await home.export(tmp_path / "out")
    told: list[int] = []
    report = await home.import_file(tmp_path / "out", progress=lambda done, total: told.append(done))
    assert len(told) >= 3 and report.unchanged == 9
    rewrite(tmp_path / "out", "records/notes.jsonl", [
        {"id": str(n), "value": {"text": "x" * size}} for n, size in enumerate((1, 1_000_000, 2))])
    report = await home.import_file(tmp_path / "out")
    assert (report.updated, [item.line for item in report.rejects]) == (2, [2])
