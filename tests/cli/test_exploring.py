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
    owned.run("import", "--explore", "--keep", str(export), code=2)
    assert owned.error("import", "--mapping", str(export), str(export))["code"] == "InvalidValue"
    assert owned.error("import", "--mapping", str(tmp_path / "none"), str(export))["code"] == "NotFound"


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
