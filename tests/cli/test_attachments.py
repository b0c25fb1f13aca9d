"""attach, fetch, blob, with an owner and without."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.support import Chez

DATA = bytes(range(256)) * 3000


def test_a_file_goes_in_and_comes_back(owned: Chez, tmp_path: Path) -> None:
    """A file is attached to a record, shown as a small object, counted, and written again byte for byte."""
    (tmp_path / "photo.png").write_bytes(DATA)
    owned.run("put", "notes", "tea", "title=Tea")
    done = owned.json("attach", "notes", "tea", "photo", str(tmp_path / "photo.png"))
    assert (done["size"], done["type"], done["name"]) == (len(DATA), "image/png", "photo.png")
    value = owned.json("get", "notes", "tea")["value"]
    assert value == {"title": "Tea", "photo": {
        "_blob": done["id"], "size": len(DATA), "type": "image/png", "name": "photo.png"}}
    assert owned.json("blob", "status")["complete"] == 1 == owned.json("status")["attachments"]
    assert re.search(r"^attachments to send +1$", owned.run("status").stdout, re.MULTILINE)
    assert owned.json("blob", "info", "notes", "tea", "photo")["at_relay"] is False
    out = tmp_path / "out.png"
    assert owned.json("fetch", "notes", "tea", "photo", str(out))["path"] == str(out)
    assert out.read_bytes() == DATA
    refused = owned.error("fetch", "notes", "tea", "photo", str(out))
    assert refused["code"] == "NotAllowed" and "chez fetch --force" in refused["hint"]
    owned.run("fetch", "notes", "tea", "photo", str(out), "--force")
    assert owned.json("blob", "pin", "notes", "tea", "photo")["pinned"] is True
    assert owned.error("blob", "evict", "notes", "tea", "photo")["code"] == "NotAllowed"
    assert owned.json("blob", "unpin", "notes", "tea", "photo")["pinned"] is False
    owned.run("put", "notes", "--id", "copy", json.dumps({"photo": value["photo"]}))
    assert owned.json("blob", "info", "notes", "copy", "photo")["complete"] is True


def test_mistakes_are_named(owned: Chez, tmp_path: Path) -> None:
    """No such file, record or attachment, a wrong type: each has its code, and nothing is written."""
    (tmp_path / "x.bin").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    owned.run("put", "notes", "tea", "title=Tea")
    cases = {
        ("attach", "notes", "tea", "photo", str(tmp_path / "none")): "NotFound",
        ("attach", "notes", "nobody", "photo", str(tmp_path / "x.bin")): "NotFound",
        ("attach", "notes", "tea", "photo", str(tmp_path / "x.bin"), "--type", "png"): "InvalidValue",
        ("attach", "notes", "tea", "photo", str(tmp_path / "x.bin"), "--name", "../x"): "InvalidValue",
        ("attach", "notes", "tea", "_photo", str(tmp_path / "x.bin")): "InvalidValue",
        ("attach", "notes", "tea", "photo", str(tmp_path)): "InvalidValue",
        # Which no writer opens, and which never ends: the owner would wait in it, or fill the disk.
        ("attach", "notes", "tea", "photo", str(tmp_path / "pipe")): "InvalidValue",
        ("attach", "notes", "tea", "photo", "/dev/zero"): "InvalidValue",
        ("fetch", "notes", "tea", "title", str(tmp_path / "y")): "NotFound",
        ("fetch", "notes", "tea", "photo"): "NotFound",
    }
    for words, code in cases.items():
        assert owned.error(*words)["code"] == code, words
    assert owned.json("get", "notes", "tea")["value"] == {"title": "Tea"}
    assert not (tmp_path / "y").exists()


@pytest.mark.slow
def test_without_a_name_it_goes_under_its_own(chez: Chez, tmp_path: Path) -> None:
    """fetch without FILE writes into the folder where it was called, under the attachment's name."""
    (tmp_path / "letter.txt").write_text("Dear reader")
    chez.run("put", "notes", "tea", "title=Tea")
    chez.run("attach", "notes", "tea", "letter", str(tmp_path / "letter.txt"))
    folder = tmp_path / "here"
    folder.mkdir()
    done = subprocess.run(chez.arguments("fetch", "notes", "tea", "letter"), cwd=folder, capture_output=True,
                          timeout=250, check=True)
    assert "11 bytes" in done.stdout.decode()
    assert (folder / "letter.txt").read_text() == "Dear reader"


@pytest.mark.slow
def test_a_name_that_would_hide_is_not_taken(chez: Chez, tmp_path: Path) -> None:
    """What somebody else named like a program's settings, or like an option, is not written under that name."""
    (tmp_path / "x").write_text("evil")
    folder = tmp_path / "here"
    folder.mkdir()
    chez.run("put", "notes", "tea", "title=Tea")
    for name in (".bashrc", "-rf"):
        chez.run("attach", "notes", "tea", "file", str(tmp_path / "x"), f"--name={name}")
        done = subprocess.run(chez.arguments("--json", "fetch", "notes", "tea", "file"), cwd=folder,
                              capture_output=True, timeout=250, check=False)
        assert json.loads(done.stderr)["error"]["code"] == "InvalidValue"
    assert not list(folder.iterdir())
