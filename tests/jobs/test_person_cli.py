"""`chez job` through its command line, on a home of its own."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.jobs.conftest import Relay
from tests.jobs.test_export import verify
from tests.jobs.test_flow import BIN, chez_job, provider, results, signed

__all__ = ("provider",)  # the fixture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Person:
    """A home driven by `chez`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.locale = "C.UTF-8"
        self.passphrase = folder / "passphrase"
        self.passphrase.write_text("correct horse battery\n")
        self.passphrase.chmod(0o600)

    def chez(self, *arguments: str | Path, code: int = 0, text: str = "") -> str:
        """Run one command; its standard output, or standard error when it fails."""
        done = subprocess.run(
            [BIN / "chez", "--passphrase-file", self.passphrase, *arguments], input=text, capture_output=True,
            env={**os.environ, "CHEZ_HOME": str(self.folder / "home"), "LC_ALL": self.locale}, text=True, timeout=240,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr


def test_a_person_looks_tries_grants_runs_and_revokes(provider: Path, relay: Relay, tmp_path: Path) -> None:
    """The commands of the tutorial, in their order, each with its word on what happened."""
    signed(provider)
    bundle = provider / "evening.chez"
    me = Person(tmp_path)
    me.chez("init", "--name", "laptop", "--words-file", tmp_path / "words")
    for hour in (17, 18, 19):
        value = {"flow": "consumption", "local": f"2026-11-20T{hour}:00", "watts": 100 * hour}
        me.chez("put", "readings", json.dumps(value))
    assert "at most 8.65 bits a run" in me.chez("job", "inspect", bundle)
    assert '{"watts":1850}' in me.chez("job", "dry-run", bundle)
    asked = me.chez("job", "grant", bundle, "--json", code=1)
    assert "on your data, today: watts: 1850" in asked and "a person must answer" in asked
    granted = json.loads(me.chez("job", "grant", bundle, "--leaves", "at-once", "--yes", "--json"))
    assert granted["grant"][:8] in me.chez("grants")
    assert "a person must see" in me.chez("job", "run", granted["grant"], code=1)
    assert json.loads(me.chez("grants", "--json"))["grants"][0]["runs"] == 0
    done = json.loads(me.chez("job", "run", granted["grant"], "--yes", "--json"))
    assert (done["result"], done["delivery"]["sent"]) == ('{"watts":1850}', 1)
    (line,) = results(provider)
    assert line["result"] == {"watts": 1850}
    assert "byte for byte" in me.chez("job", "replay", granted["grant"], "--run", "1")
    assert "watts: 1850" in me.chez("left")
    assert done["message"] in me.chez("left", "--bytes")
    assert json.loads(me.chez("left", "--json"))["left"][0]["message"] == done["message"]
    assert "used 1 run of 12" in me.chez("grants")
    held = me.chez("job", "allowance")
    assert "collection:readings: 4,000 bits over all your devices" in held and "8.652 bits spent" in held
    me.chez("grants", "--export", tmp_path / "consents")
    assert verify(json.loads((tmp_path / "consents").read_text()), tmp_path).returncode == 0
    assert "nothing is overwritten" in me.chez("grants", "--export", tmp_path / "consents", code=1)
    assert "En pause : evening" in me.chez("job", "pause", granted["grant"], "--language", "fr")
    assert "is paused" in me.chez("job", "run", granted["grant"], "--yes", code=1)
    me.locale = "fr_FR.UTF-8"
    assert "en pause" in me.chez("job", "run", granted["grant"], "--yes", code=1)
    assert "Resumed" in me.chez("job", "resume", granted["grant"], "--language", "en")
    assert "rlimits" in me.chez("job", "doctor")
    me.chez("job", "revoke", granted["grant"])
    assert "révoquée : elle ne tournera plus jamais" in me.chez("grants")
    assert "autorisez la tâche de nouveau" in me.chez("job", "run", granted["grant"], "--yes", code=1)
    assert json.loads(me.chez("journal", "verify", "--json"))["ok"]


def test_a_job_is_published_found_and_granted_by_its_name(provider: Path, relay: Relay, tmp_path: Path) -> None:
    """A provider publishes from its home; a person adds the address, sees the hash, compares, gets and grants it."""
    bundle, me = signed(provider), Person(tmp_path)
    (provider / "own").mkdir()
    them = Person(provider / "own")
    for one in (me, them):
        one.chez("init", "--name", "laptop", "--words-file", one.folder / "words")
        one.chez("relay", "set", relay.url)
    unlock = ("--home", them.folder / "home", "--passphrase-file", them.passphrase, "--json")
    publish = ("publish", "evening.chez", "--key", "provider.key", *unlock)
    done = json.loads(chez_job(provider, *publish))
    assert (done["bundle"], done["problem"], done["number"]) == (bundle.hash.hex(), "", 1)
    shown = me.chez("job", "catalogue", "add", done["address"])
    assert bundle.hash.hex() in shown and done["head"] in shown
    assert "The same" in me.chez("job", "catalogue", "compare", done["head"])
    assert "two different lines 1" in me.chez("job", "catalogue", "compare", f"1:{'0' * 64}", code=1)
    me.chez("job", "get", "evening", "--out", tmp_path / "got.chez")
    assert (tmp_path / "got.chez").read_bytes() == bundle.encoded
    assert "line 1 of the catalogue" in me.chez("job", "grant", "evening", "--yes")
    assert "there is no file" in me.chez("job", "inspect", "Evening.chez", code=1)
    manifest = provider / "evening" / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("version = 1 ", "version = 2 "))
    signed(provider)
    chez_job(provider, *publish)
    me.chez("sync")
    assert "A new version 2 of" in me.chez("job", "catalogue")
    (provider / "results.jsonl").write_text(json.dumps({"id": "ab" * 16, "outcome": "result"}) + "\n")
    acknowledged = chez_job(provider, "acknowledge", "--key", "provider.key", *unlock)
    assert json.loads(acknowledged) == {"messages": 1, "problem": ""}
