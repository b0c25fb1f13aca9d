"""chez import --explore and --mapping: an export that no connector knows becomes collections."""

import json
import zipfile
from pathlib import Path

import pytest

from tests.cli.support import Chez, Terminal


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A small export with a name that would move the cursor."""
    path = tmp_path / "dating.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("messages.json", json.dumps([{"id": n, "text": f"\x1b[2J{n}", "sent": "2024-01-31"}
                                                   for n in range(5)]))
        made.writestr("photo.jpg", b"\xff")
    return path


def test_explored_mapped_and_imported(owned: Chez, export: Path, tmp_path: Path) -> None:
    """Without a terminal the proposal is written; by it the export becomes records that are listed and asked for as
    any others, and a second import changes nothing."""
    mapping = tmp_path / "dating.toml"
    shown = owned.run("import", "--explore", str(export), "--mapping", str(mapping))
    assert "dating_messages" in shown.stdout and "\x1b" not in shown.stdout + shown.stderr
    assert "photo.jpg" in shown.stderr and 'collection = "dating_messages"' in mapping.read_text()
    looked = owned.json("import", "--explore", str(export))
    [seen] = looked["tables"]
    assert [one["member"] for one in looked["rejects"]] == ["photo.jpg"]
    assert (seen["files"], seen["rows"]) == ("messages.json", 5)
    assert "there already" in owned.error("import", "--explore", str(export), "--mapping", str(mapping))["message"]
    first = owned.json("import", "--mapping", str(mapping), str(export))
    assert (first["added"], first["rejected"], first["connector"]) == (5, 1, "mapped-dating")
    assert owned.json("import", "--mapping", str(mapping), str(export))["unchanged"] == 5
    [row] = owned.lines("sql", "SELECT count(*) AS n, min(at) AS first FROM dating_messages")
    assert row["n"] == 5 and row["first"].startswith("2024-01-31T00:00:00")
    owned.run("import", "--explore", "--again", code=2)
    owned.run("import", "--mapping", str(mapping), "--connector", "ofx", str(export), code=2)
    assert "nothing is kept" in owned.run("import", "--explore", "--keep", str(export)).stderr
    assert owned.error("import", "--mapping", str(export), str(export))["code"] == "InvalidValue"
    assert owned.error("import", "--mapping", str(tmp_path / "none"), str(export))["code"] == "NotFound"


def test_a_folder_is_explored(owned: Chez, export: Path, tmp_path: Path) -> None:
    """A folder is looked into as the zip that was unpacked into it, and its mapping reads both; where there is nothing
    to map, what is not read is told before the refusal."""
    folder, mapping = tmp_path / "dating", tmp_path / "dating.toml"
    with zipfile.ZipFile(export) as made:
        made.extractall(folder)
    owned.run("import", "--explore", str(folder), "--mapping", str(mapping))
    assert owned.json("import", "--mapping", str(mapping), str(folder))["added"] == 5
    assert owned.json("import", "--mapping", str(mapping), str(export))["unchanged"] == 5
    (folder / "messages.json").unlink()
    refused = owned.run("import", "--explore", str(folder), code=1)
    assert "not read: photo.jpg" in refused.stderr and "no table" in refused.stderr


def test_a_broken_zip_and_an_empty_file_are_named(chez: Chez, tmp_path: Path) -> None:
    """What is not read of a file that is no archive is told under its name; an empty file sends nobody to a service."""
    broken, empty = tmp_path / "broken.zip", tmp_path / "empty.csv"
    broken.write_bytes(b"PK\x03\x04" + bytes(100))
    empty.touch()
    told = chez.run("import", "--explore", str(broken), code=1).stderr
    assert "broken.zip" in told.splitlines()[0] and "read: ," not in told
    assert "service" not in chez.error("import", "--explore", str(empty))["hint"]


def test_kept_with_its_mapping(owned: Chez, export: Path, tmp_path: Path) -> None:
    """--keep keeps the mapping with the export: --again reads by it when both files are gone, and by a newer one of
    the same name, which is kept in its place; a mapping of another name reads nothing that was kept."""
    mapping, newer, other = (tmp_path / name for name in ("dating.toml", "newer.toml", "other.toml"))
    owned.run("import", "--explore", str(export), "--mapping", str(mapping))
    text = mapping.read_text()
    assert owned.json("import", "--keep", "--mapping", str(mapping), str(export))["kept"]
    export.unlink()
    mapping.unlink()
    [again] = owned.lines("import", "--again")
    assert (again["connector"], again["unchanged"], again["rejected"]) == ("mapped-dating", 5, 1)
    newer.write_text(text.replace("version = 1", "version = 2").replace('{ from = "text", name = "text" }',
                                                                         '{ from = "text", name = "words" }'))
    other.write_text(text.replace("dating", "other"))
    assert "no export is kept here that was read by" in owned.run("import", "--again", "--mapping", str(other)).stderr
    [again] = owned.lines("import", "--again", "--mapping", str(newer))
    assert (again["version"], again["updated"]) == (2, 5)
    [again] = owned.lines("import", "--again")
    assert (again["version"], again["unchanged"]) == (2, 5)


@pytest.mark.slow
def test_guided_at_a_terminal(owned: Chez, export: Path, tmp_path: Path) -> None:
    """At a terminal each table is asked for; a wrong answer is told, and asked again; then it is imported."""
    mapping = tmp_path / "mine.toml"
    terminal = Terminal(owned.arguments("import", "--explore", str(export), "--mapping", str(mapping)))
    for question, answer in (("Name of the service", "love"), ("Take love_messages", "y"), ("collection", ""),
                             ("As proposed", "n"), ("identity", "nothing"), ("time", "-"), ("leave out", "text"),
                             ("once more", ""), ("collection", "love_letters"), ("As proposed", "n"),
                             ("identity", "id"), ("time", "sent"), ("leave out", "text"), ("Import it now", "y")):
        terminal.expect(question)
        terminal.type(answer + "\n")
    assert terminal.finish() == 0
    assert 'collection = "love_letters"' in mapping.read_text() and "drop = true" in mapping.read_text()
    [row] = owned.lines("sql", "SELECT * FROM love_letters LIMIT 1")
    assert "text" not in row
