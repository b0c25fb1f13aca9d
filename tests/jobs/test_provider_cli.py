"""`chez-job` through its command line, from an empty folder."""

import json
import stat
import sys
from pathlib import Path

import pytest

from chez_sandbox.bundle import build_bundle, open_bundle
from chez_sandbox.provider.cli import cli
from tests.jobs.conftest import Relay
from tests.jobs.samples import MEAN, SIGNING, manifest_text
from tests.jobs.test_flow import chez_job, provider, within

__all__ = ("provider",)  # the fixture


@pytest.mark.slow
def test_from_an_empty_folder_to_a_signed_bundle(provider: Path, provider_cache: Path) -> None:
    """Keys, new, test, check, build, sign: each step works as the README of the template says."""
    assert stat.S_IMODE((provider / "provider.key").stat().st_mode) == 0o600
    chez_job(provider, "new", "my-job")
    facts = json.loads(chez_job(provider / "my-job", "test", "--json", cache=provider_cache))
    assert facts["passed"] and facts["same"] and facts["result"] == '{"watts":1100}'
    assert facts["message_bytes"] == 368 and 8.6 < facts["bits"] < 8.7 and facts["sandbox"]["fuel"] > 0
    words = chez_job(provider / "my-job", "test", cache=provider_cache)
    assert "bits a run" in words and "368 bytes" in words
    assert "at most 8.65 bits" in chez_job(provider, "check", "my-job", cache=provider_cache)
    chez_job(provider, "build", "my-job", "--key", "provider.key", "--out", "my-job.chez")
    assert "not signed" in chez_job(provider, "check", "my-job.chez", code=1)
    chez_job(provider, "sign", "my-job.chez", "--key", "provider.key")
    bundle = open_bundle((provider / "my-job.chez").read_bytes())
    assert bundle.manifest.provider.name == "Example Advice"
    assert bundle.hash.hex() in chez_job(provider, "inspect", "my-job.chez")


def test_another_providers_words_begin_no_line_where_a_bundle_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a terminal what somebody else's bundle says goes on further in, as on the screen before granting."""
    aside = f"{'x ' * 40}  Leaves   nothing"
    path, text = tmp_path / "a.chez", manifest_text().replace(b"privacy@example.org", aside.encode())
    path.write_bytes(build_bundle(text, MEAN, "python", SIGNING).encoded)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    cli(["inspect", str(path)], standalone_mode=False)
    shown = capsys.readouterr().out.splitlines()
    begin = next(number for number, line in enumerate(shown) if "Example Energy Advice" in line)
    assert shown[begin + 1].startswith(" " * 15) and shown[begin + 1].endswith("nothing")
    assert max(map(len, shown)) <= 80


def test_editors_find_the_schema(tmp_path: Path) -> None:
    """`schema` prints the published schema, and a new job's manifest names the copy of it in its folder."""
    printed = chez_job(tmp_path, "schema", process=True)
    assert json.loads(printed)["$schema"].endswith("2020-12/schema")
    chez_job(tmp_path, "new", "my-job", process=True)
    first = (tmp_path / "my-job" / "manifest.toml").read_text().splitlines()[0]
    assert first.startswith("#:schema ")
    assert (tmp_path / "my-job" / first.removeprefix("#:schema ")).read_text() == printed


ENDLESS = "def run(data, params):\n    while True:\n        pass\n"
BROKEN = {
    "def run(data, params):\n    return 1 // 0\n": "ZeroDivisionError",
    "def run(data, params):\n    return {'watts': 'free text'}\n": "the result was refused",
    "def run(data, params):\n    return {'watts': len(open('/etc/hostname').read())}\n": "PermissionError",
    "def run(data, params:\n": "SyntaxError",
    "import socket\n": "not available to jobs",
    "def run(data, params):\n    data.fail('not-applicable', 'because')\n": "not-applicable because",
    ENDLESS: "did not end within 2 s",
}


@pytest.mark.parametrize("code", [pytest.param(code, marks=[pytest.mark.slow] * (code == ENDLESS)) for code in BROKEN])
@pytest.mark.slow
def test_a_broken_job_fails_its_test_with_a_reason(code: str, tmp_path: Path, provider_cache: Path) -> None:
    """`chez-job test` exits with 1 and shows the traceback or the refusal."""
    chez_job(tmp_path, "new", "broken")
    (tmp_path / "broken" / "job.py").write_text(code)
    if code == ENDLESS:
        manifest = tmp_path / "broken" / "manifest.toml"
        manifest.write_text(manifest.read_text().replace("seconds = 20", "seconds = 2"))
    done = within(tmp_path, "test", "broken", cache=provider_cache)
    assert done.returncode == 1 and BROKEN[code] in done.stdout
    assert "chez_job.py" not in done.stdout, "the traceback is the job's alone"
    if "data.fail" in code:
        facts = json.loads(within(tmp_path, "test", "broken", "--json", cache=provider_cache).stdout)
        assert (facts["passed"], facts["result"], facts["sandbox"]["code"]) == (False, None, "not-applicable")
        assert facts["problem"]


def test_mistakes_are_one_line_and_a_hint(provider: Path) -> None:
    """Wrong files, names, dates and permissions are typed errors without a stack trace."""
    chez_job(provider, "new", "job")
    assert "exists" in chez_job(provider, "new", "job", code=1)
    assert "can't be a job's id" in chez_job(provider, "new", "My Job", code=1)
    assert "no date" in chez_job(provider, "test", "job", "--date", "today", code=1)
    assert "chez-job new" in chez_job(provider, "test", "nowhere", code=1)
    assert "no folder samples" in chez_job(provider, "test", "job", "--sample", "samples", code=1)
    (provider / "job" / "job.py").rename(provider / "job.py")
    assert "job.wat" in chez_job(provider, "test", "job", code=1)
    (provider / "job.py").rename(provider / "job" / "job.py")
    assert "no bundle" in chez_job(provider, "check", "provider.key", code=1)
    assert "never overwritten" in chez_job(provider, "keys", "new", "--relay", "ws://127.0.0.1:1", "--out",
                                           "provider.key", "--name", "x", "--contact", "y", code=1)  # fmt: skip
    manifest = provider / "job" / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("maximum = 20000", ""))
    assert "result.watts.maximum" in chez_job(provider, "check", "job", code=1)
    (provider / "provider.key").chmod(0o644)
    assert "chmod 600" in chez_job(provider, "keys", "card", "--key", "provider.key", code=1)
    (provider / "sample").mkdir()
    (provider / "provider.key").chmod(0o600)
    assert "not a provider" in chez_job(provider, "keys", "card", "--key", _rubbish(provider), code=1)


def _rubbish(folder: Path) -> Path:
    path = folder / "rubbish.key"
    path.write_text("{}")
    path.chmod(0o600)
    return path


def test_a_key_is_not_made_without_its_inbox(tmp_path: Path) -> None:
    """When the relay can't be reached there is no key file that would look usable."""
    chez_job(tmp_path, "keys", "new", "--relay", "ws://127.0.0.1:1", "--out", "k", "--name", "x", "--contact", "y",
             code=1)  # fmt: skip
    assert not (tmp_path / "k").exists()


def test_no_inbox_is_made_for_a_key_that_has_no_place(tmp_path: Path) -> None:
    """Where the key file's folder is not there that is said before any relay is asked for an inbox."""
    asked = ("--relay", "ws://127.0.0.1:1", "--name", "A", "--contact", "b@example.org")
    assert "can't be written" in chez_job(tmp_path, "keys", "new", "--out", "nowhere/provider.key", *asked, code=1)


@pytest.mark.slow
def test_an_inbox_can_be_renewed(provider: Path, relay: Relay) -> None:
    """Renewing keeps keys and inbox as they are."""
    card = chez_job(provider, "keys", "card", "--key", "provider.key", "--json")
    assert chez_job(provider, "keys", "renew", "--key", "provider.key", "--json") == card
    assert json.loads(card)["relay"] == relay.url and len(json.loads(card)["fingerprint"].split()) == 6
