"""chez export, backup, and back."""

import json
from pathlib import Path
from typing import Any

import pytest

from chez.cli.commands import keeping
from chez.store.file import connect
from chez.store.keyfile import read_key
from tests.cli.support import PASSPHRASE, Chez


def test_export_and_import(either: Chez, empty: Chez, tmp_path: Path) -> None:
    """What was put is in plain files, comes back after it was deleted, and the journal notes the export."""
    either.run("put", "notes", "tea", "title=Tea", "cups=2")
    done = either.json("export", str(tmp_path / "out"), "--history")
    assert done["records"] == 1 and done["changes"] == 1
    line = json.loads((tmp_path / "out" / "records" / "notes.jsonl").read_text())
    assert line == {"id": "tea", "value": {"title": "Tea", "cups": 2}}
    assert either.error("export", str(tmp_path / "out"))["code"] == "InvalidValue"
    either.run("rm", "notes", "tea")
    assert either.json("import", str(tmp_path / "out"))["added"] == 1
    assert either.json("get", "notes", "tea")["value"] == {"title": "Tea", "cups": 2}
    assert {"export", "export-complete", "import"} <= {one["kind"] for one in either.lines("journal")}
    assert "readable by anybody" in either.run("export", str(tmp_path / "again")).stdout


def test_relative_folders_are_the_callers(owned: Chez, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner sits in another folder; a relative one still means what it means here."""
    monkeypatch.chdir(tmp_path)
    owned.run("put", "notes", "a", "n=1")
    owned.run("export", "out")
    (tmp_path / "out" / "manifest.json").unlink()
    assert owned.run("import", "out", code=1).stderr.count("no complete export") == 1


def test_backup_and_restore(either: Chez, tmp_path: Path) -> None:
    """A backup restores to a new device that holds what was put; a wrong passphrase or file is told."""
    either.run("put", "notes", "tea", "title=Tea")
    done = either.json("backup", str(tmp_path / "backup"), "--verify")
    assert done["verified"] and done["bytes"] == (tmp_path / "backup").stat().st_size
    assert either.error("backup", str(tmp_path / "backup"))["code"] == "InvalidValue"
    words = ("restore", str(tmp_path / "backup"), str(tmp_path / "again"), "--kdf", "minimum")
    made = either.json(*words, "--name", "again")
    again = Chez(tmp_path / "again", either.passphrase_file)
    assert again.json("get", "notes", "tea")["value"] == {"title": "Tea"}
    assert again.json("status")["device"] == made["device"] != either.json("status")["device"] == made["former"]
    former = again.lines("journal", "--former")
    assert former and {one.pop("device") for one in former} == {made["former"]}
    assert either.lines("journal")[: len(former)] == former
    assert again.lines("journal", "--former", "--kind", "purge") == [] == either.lines("journal", "--former")
    assert made["former"][:12] in again.run("journal", "--former").stdout
    assert either.error(*words)["code"] == "HomeExists"
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong\n")
    wrong.chmod(0o600)
    other = Chez(either.home, wrong)
    assert other.error(*words[:2], str(tmp_path / "third"), "--kdf", "minimum")["code"] == "WrongPassphrase"
    assert either.error("restore", str(wrong), str(tmp_path / "third"))["code"] == "BadArchive"
    assert either.error("restore", str(tmp_path / "no"), str(tmp_path / "third"))["code"] == "NotFound"
    assert not (tmp_path / "third").exists()
    text = either.run("restore", str(tmp_path / "backup"), str(tmp_path / "third"), "--kdf", "minimum").stdout
    assert "new device" in text and "chez sync" in text


@pytest.mark.slow
def test_doctor_finds_explains_and_repairs(either: Chez) -> None:
    """A sound home, then a damaged one: told beside an owner too, mended without one, exit code 1 while it is wrong."""
    either.run("put", "notes", "tea", "title=Tea")
    assert "sound" in either.run("doctor").stdout
    assert either.json("doctor") == {"findings": [], "left": [], "done": []}
    harm(either.home, "UPDATE record SET json = '{}'")
    found = either.json("doctor", code=1)
    assert [one["kind"] for one in found["findings"]] == ["projection"]
    assert "tea" in either.run("doctor", code=1).stdout
    if either.made:
        assert either.error("doctor", "--repair")["code"] == "HomeBusy"
        either.run("lock")
    assert "done:" in either.run("doctor", "--repair").stdout
    assert either.json("get", "notes", "tea")["value"] == {"title": "Tea"}
    assert either.json("doctor", "--rebuild")["done"]
    assert either.error("doctor", "--repair", "--as-new-device", code=2)["code"] == "Usage"


def test_what_no_mending_changes_is_wrong_still(chez: Chez) -> None:
    """A forged receipt beside what is mended: the exit code is 1, and what is to be done about it is told."""
    chez.run("put", "notes", "tea", "title=Tea")
    harm(chez.home, "UPDATE record SET json = '{}'")
    harm(chez.home, """UPDATE receipt SET body = '{"forged":1}'""")
    told = chez.run("doctor", "--repair", code=1).stdout
    assert "done: 1 records were made again" in told and "compare it with what other devices" in told
    assert "--repair shows" not in told and told.index("compare it") < told.index("tea")
    found = chez.json("doctor", code=1)
    assert [one["kind"] for one in found["findings"]] == [one["kind"] for one in found["left"]] == ["journal"]


def test_what_is_wrong_with_each_of_many_records_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """As many findings as a large home has records: none is looked for among all of them, which took minutes."""
    class Finding(dict[str, str]):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Finding.compared += 1
            return dict.__eq__(self, other)

    def findings(count: int) -> list[dict[str, Any]]:
        return [Finding(where=f"record {n}", meaning="damaged", cure="mend it") for n in range(count)]

    keeping._tell(findings(1000), findings(1000), [])
    told = capsys.readouterr().out.splitlines()
    assert Finding.compared == 0 and told[:2] == ["record 0: damaged", "    mend it"] and "960 more" in told[-1]
    keeping._tell(findings(1000), findings(2)[1:], ["records were made again"])
    told = capsys.readouterr().out.splitlines()
    assert told[:3] == ["record 1: damaged", "    mend it", "record 0: damaged"] and told.count("    mend it") == 1
    assert Finding.compared < 100 and "960 more" in told[-2] and len(told) == 40 + 3


def test_doctor_on_a_store_that_does_not_open(chez: Chez) -> None:
    """A file that is no store any more: one line that says what to do, never a stack trace."""
    (chez.home / "chez.db").write_bytes(b"nothing" * 1000)
    for words in (("doctor",), ("doctor", "--repair")):
        failed = chez.error(*words)
        assert failed["code"] == "Damaged" and "join again" in failed["hint"]


def harm(home: Path, sql: str) -> None:
    """Change the store behind the back of whoever has it open."""
    db = connect(home / "chez.db", read_key(home, PASSPHRASE))
    db.execute(sql)
    db.close()
