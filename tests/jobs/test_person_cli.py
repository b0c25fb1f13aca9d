"""`chez job` through its command line, on a home of its own."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.cli.support import until, within
from tests.jobs.conftest import Relay
from tests.jobs.test_export import verify
from tests.jobs.test_flow import BIN, chez_job, provider, results, signed
from tests.runtime.jobs import workers

__all__ = ("provider",)  # the fixture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Person:
    """A home driven by `chez`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.locale = "C.UTF-8"
        self.passphrase = folder / "passphrase"
        self.passphrase.write_text("correct horse battery\n")
        self.passphrase.chmod(0o600)

    @property
    def command(self) -> list[str | Path]:
        """`chez`, and what opens the home."""
        return [BIN / "chez", "--passphrase-file", self.passphrase]

    @property
    def environment(self) -> dict[str, str]:
        """Its environment: which home, which language."""
        return {**os.environ, "CHEZ_HOME": str(self.folder / "home"), "LC_ALL": self.locale}

    def chez(self, *arguments: str | Path, code: int = 0) -> str:
        """Run one command in this process; its standard output, or standard error when it fails."""
        with patch.dict(os.environ, self.environment):
            done = within(["python", "-m", "chez.cli", *map(str, (*self.command[1:], *arguments))], b"")
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr


def daily_job(provider: Path) -> Path:
    """The template's job, to run every day, with one field more to read than it needs."""
    chez_job(provider, "new", "evening")
    manifest = provider / "evening" / "manifest.toml"
    text = manifest.read_text().replace('schedule = "manual"', 'schedule = "daily"')
    manifest.write_text(text.replace('["local", "watts"]', '["local", "watts", "meter"]'))
    signed(provider)
    return provider / "evening.chez"


def test_a_person_looks_tries_grants_runs_and_revokes(
    provider: Path, relay: Relay, tmp_path: Path, code_folder: Path
) -> None:
    """The commands of the tutorial, in their order, each with its word on what happened."""
    bundle = daily_job(provider)
    me = Person(tmp_path)
    me.chez("init", "--kdf", "minimum", "--name", "laptop", "--words-file", tmp_path / "words")
    for hour in (17, 18, 19):
        value = {"flow": "consumption", "local": f"2026-11-20T{hour}:00", "watts": 100 * hour}
        me.chez("put", "readings", json.dumps(value))
    assert "at most 8.65 bits a run" in me.chez("job", "inspect", bundle)
    assert '{"watts":1850}' in me.chez("job", "dry-run", bundle)
    asked = me.chez("job", "grant", bundle, "--json", code=1)
    assert "on your data, today: watts: 1850" in asked and "a person must answer" in asked
    french = json.loads(me.chez("job", "grant", bundle, "--language", "fr", "--json", code=1).splitlines()[-1])["error"]
    assert french["message"].startswith("quelqu'un doit répondre : ") and french["hint"].endswith("--yes")
    assert json.loads(me.chez("job", "run", "zz", "--json", code=1))["error"]["code"] == "NotFound"
    granted = json.loads(me.chez("job", "grant", bundle, "--leaves", "at-once", "--yes", "--json"))
    # A turn begins at some time of the night's first four hours, which the grant's seed says.
    if datetime.fromisoformat(granted["granted"]).astimezone().hour >= 4:
        assert f"(grant {granted['grant'][:8]}): due since" in me.chez("job", "pending")
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
    grants_less_and_withdraws(me, bundle)
    interrupts(me, provider)
    assert json.loads(me.chez("journal", "verify", "--json"))["ok"]


ENDLESS = """
def run(data, params):
    for row in data.rows("readings"):
        pass
    while True:
        pass
"""


def group_lives(group: int) -> bool:
    """Whether any process of a group is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def interrupts(me: Person, provider: Path) -> None:
    """At a terminal a run shows how far it is; Ctrl-C ends it, all its processes, and "none" leaves: with an owner
    that goes on as without."""
    manifest = provider / "evening" / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("version = 1 ", "version = 2 "))
    signed(provider, ENDLESS)
    granted = json.loads(me.chez("job", "grant", provider / "evening.chez", "--leaves", "at-once", "--yes", "--json"))
    group = interrupted(me, granted["grant"], set)
    until(lambda: not group_lives(group))
    assert last_left(me, granted["grant"], 1) == ("none", "interrupted")
    owner = json.loads(me.chez("up", "--detach", "--json"))["pid"]
    mine: set[int] = set()
    group = interrupted(me, granted["grant"], lambda: mine.update(workers(owner)))
    assert len(mine) == 1
    until(lambda: not group_lives(group) and not mine & workers(owner))
    assert last_left(me, granted["grant"], 2) == ("none", "interrupted")
    assert f"process {owner} has closed" in me.chez("lock")


def interrupted(me: Person, grant: str, seen: Callable[[], object]) -> int:
    """Start a run at a terminal, look once it has its rows, press Ctrl-C there; the group of its processes."""
    terminal, face = os.openpty()
    with subprocess.Popen([*me.command, "job", "run", grant, "--yes"], env=me.environment, stderr=face,
                          stdout=subprocess.DEVNULL, start_new_session=True) as running:  # fmt: skip
        os.close(face)
        shown = b""
        while b"3 of 3" not in shown:
            shown += os.read(terminal, 4096)
        seen()
        os.killpg(running.pid, signal.SIGINT)
        assert running.wait() == 130
    os.close(terminal)
    return running.pid


def last_left(me: Person, grant: str, count: int) -> tuple[str, str]:
    """What left last of this grant, and why, once so many messages are written down."""
    def messages() -> list[dict[str, str]]:
        return [one for one in json.loads(me.chez("left", "--json"))["left"] if one["grant"] == grant]

    until(lambda: len(messages()) == count)
    return messages()[-1]["outcome"], messages()[-1]["reason"]


def grants_less_and_withdraws(me: Person, bundle: Path) -> None:
    """A field left out, fewer days, hours of hold: each is in force, and a held result is withdrawn."""
    me.locale = "C.UTF-8"
    blind = json.loads(me.chez("job", "dry-run", bundle, "--drop-field", "readings.watts", "--json"))
    assert (blind["result"], blind["rows"]) == (None, {"readings": 3})
    less = ("--drop-field", "readings.meter", "--window", "readings=7", "--hold", "5", "--yes", "--json")
    granted = json.loads(me.chez("job", "grant", bundle, *less))
    assert (granted["review"], granted["hold_hours"]) == ("hold", 5)
    done = json.loads(me.chez("job", "run", granted["grant"], "--json"))
    assert (done["result"], done["delivery"]["held"]) == ('{"watts":1850}', 1)
    told = json.loads(me.chez("grants", "--json"))["grants"][-1]
    assert told["reads"][0]["fields"] == ["local", "watts"] and told["reads"][0]["window"].startswith("7 whole days")
    assert "[1]" in me.chez("job", "withdraw", granted["grant"], "--json")


def test_a_job_is_published_found_and_granted_by_its_name(provider: Path, relay: Relay, tmp_path: Path) -> None:
    """A provider publishes from its home; a person adds the address, sees the hash, compares, gets and grants it; what
    the provider took is acknowledged once, whether as it is taken or after."""
    bundle, me = signed(provider), Person(tmp_path)
    (provider / "own").mkdir()
    them = Person(provider / "own")
    for one in (me, them):
        one.chez("init", "--kdf", "minimum", "--name", "laptop", "--words-file", one.folder / "words")
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
    chez_job(provider, "results", "--key", "provider.key", "--acknowledge", "--wait", "0.1", *unlock)
    with (provider / "results.jsonl").open("a") as file:
        file.write(json.dumps({"id": "cd" * 16, "outcome": "none"}) + "\n")
    acknowledged = chez_job(provider, "acknowledge", "--key", "provider.key", *unlock)
    assert json.loads(acknowledged) == {"messages": 1, "problem": ""}
