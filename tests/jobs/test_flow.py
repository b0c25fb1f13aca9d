"""From a granted run through a real relay to the provider's opened result."""

import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, redirect_stderr, redirect_stdout
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import chez
from chez.errors import NotAllowed
from chez_sandbox.bundle import Bundle, open_bundle
from chez_sandbox.consent import verbs
from chez_sandbox.consent.delivery import deliver
from chez_sandbox.consent.grants import load_grant
from chez_sandbox.errors import WorkerFailed
from chez_sandbox.provider.cli import main
from chez_sandbox.runtime.host import Runtime
from tests.jobs.conftest import Relay
from tests.jobs.samples import LATER
from tests.jobs.test_grants import bundle, grant
from tests.jobs.test_runs import SIZE, run_once

BIN = Path(sys.executable).parent


def chez_job(folder: Path, *arguments: str | Path, code: int = 0, cache: Path | None = None,
             process: bool = False) -> str:
    """Run `chez-job` in a folder as a provider would; its standard output (and error, when it fails).

    As a process of its own only where that is told: it takes longer to start than most commands take.
    """
    run = beside if process else within
    done = run(folder, *map(str, arguments), cache=cache or folder / "cache")
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


def beside(folder: Path, *arguments: str, cache: Path) -> "subprocess.CompletedProcess[str]":
    """Run the program `chez-job`."""
    return subprocess.run([BIN / "chez-job", *arguments], cwd=folder, env={**os.environ, "XDG_CACHE_HOME": str(cache)},
                          capture_output=True, text=True, timeout=120)


def within(folder: Path, *arguments: str, cache: Path) -> "subprocess.CompletedProcess[str]":
    """Run `chez-job` in this process, on a thread: the test may have an event loop of its own."""
    out, err = io.StringIO(), io.StringIO()

    def run() -> object:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        return ended.value.code

    with (chdir(folder), patch.dict(os.environ, XDG_CACHE_HOME=str(cache)), redirect_stdout(out), redirect_stderr(err),
          ThreadPoolExecutor(1) as threads):
        code = threads.submit(run).result()
    assert isinstance(code, int)
    return subprocess.CompletedProcess(["chez-job", *arguments], code, out.getvalue(), err.getvalue())


@pytest.fixture
def provider(relay: Relay, tmp_path: Path) -> Path:
    """A provider's folder with a key file whose inbox is at the relay."""
    folder = tmp_path / "provider"
    folder.mkdir()
    chez_job(folder, "keys", "new", "--relay", relay.url, "--out", "provider.key", "--name", "Example Advice",
             "--contact", "privacy@example.org")  # fmt: skip
    return folder


def signed(provider: Path, code: str | None = None) -> Bundle:
    """The template's job (or other code in it), built and signed by the command line."""
    if not (provider / "evening").exists():
        chez_job(provider, "new", "evening")
    if code is not None:
        (provider / "evening" / "job.py").write_text(code)
    chez_job(provider, "build", "evening", "--key", "provider.key", "--out", "evening.chez")
    chez_job(provider, "sign", "evening.chez", "--key", "provider.key")
    return open_bundle((provider / "evening.chez").read_bytes())


def results(provider: Path, wait: float = 10.0) -> list[dict[str, Any]]:
    """The new results, as programs read them."""
    output = chez_job(provider, "results", "--key", "provider.key", "--bundle", "evening.chez", "--json", "--wait",
                      str(wait))  # fmt: skip
    return [json.loads(line) for line in output.splitlines()]


async def test_a_result_reaches_the_provider_once(
    provider: Path, relay: Relay, home: chez.Home, runtime: Runtime
) -> None:
    """Run, send, open: the provider reads the released value, and nothing a second time."""
    given = await grant(home, signed(provider))
    departure = await run_once(home, given.grant.id, runtime)
    assert departure.result == b'{"watts":400}'
    assert (await deliver(home, LATER)).sent == 1
    assert (await deliver(home, LATER)).sent == 0
    (line,) = results(provider)
    assert (line["outcome"], line["result"], line["sequence"]) == ("result", {"watts": 400}, 1)
    assert (line["job"], line["bytes"], line["grant"]) == ("evening", len(departure.message), given.grant.id)
    assert json.loads((provider / "results.jsonl").read_text()) == line
    assert results(provider, wait=0.3) == []


async def test_what_the_relay_holds_shows_nothing(
    provider: Path, relay: Relay, home: chez.Home, runtime: Runtime
) -> None:
    """No value, name, field or grant id is in any byte the relay stored."""
    given = await grant(home, signed(provider))
    departure = await run_once(home, given.grant.id, runtime)
    await deliver(home, LATER)
    stored = b"".join(path.read_bytes() for path in relay.data.rglob("*") if path.is_file())
    assert departure.message in stored
    for secret in (b"watts", b"evening", b"Example Advice", bytes.fromhex(given.grant.id), given.bundle.hash,
                   home.device_id, home.person_id):  # fmt: skip
        assert secret not in stored


async def test_refusals_arrive_like_results(provider: Path, home: chez.Home, runtime: Runtime) -> None:
    """A declined run and a broken job each put one message of the same length into the inbox."""
    first = await grant(home, signed(provider), 1)
    await run_once(home, first.grant.id, runtime, decline=True)
    await run_once(home, first.grant.id, runtime)
    assert (await deliver(home, LATER)).sent == 2
    lines = results(provider)
    assert [line["outcome"] for line in lines] == ["none", "result"]
    assert {line["bytes"] for line in lines} == {SIZE}


async def test_a_message_waits_for_its_relay(home: chez.Home, runtime: Runtime) -> None:
    """With the relay out of reach the message stays in the journal, and the run still ends."""
    given = await grant(home, bundle())
    await run_once(home, given.grant.id, runtime)
    delivery = await deliver(home, LATER)
    assert (delivery.sent, delivery.waiting) == (0, 1) and delivery.problem
    assert await home.journal.receipts("delivered") == []


class Person:
    """A `Ui` that answers as told and remembers what it was shown."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.shown: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.heard: list[tuple[int, int, str]] = []

    async def say(self, text: str) -> None:
        """Forget it."""

    async def progress(self, done: int, total: int, label: str) -> None:
        """Remember it."""
        self.heard.append((done, total, label))

    async def ask(self, question: str, *, default: str | None = None) -> str:
        """Answer as told."""
        self.asked.append(question)
        return self.answer

    async def show(self, data: dict[str, Any]) -> None:
        """Remember it."""
        self.shown.append(data)


async def kinds(home: chez.Home) -> list[str]:
    """The kinds of the receipts that jobs wrote."""
    return [receipt.kind for receipt in await home.journal.receipts() if receipt.kind != "home-created"]


@pytest.fixture
def same_runtime(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verbs use the runtime that is compiled already."""
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def compiled(*_: object) -> Any:
        yield runtime

    monkeypatch.setattr(verbs, "_runtime", compiled)


async def test_the_owner_serves_the_whole_life_of_a_job(provider: Path, home: chez.Home, same_runtime: None) -> None:
    """Inspect, dry run, grant, run, list, show what left, revoke: each verb tells the truth."""
    file = {"bundle": signed(provider).encoded}
    person = Person("yes")
    shown = await verbs.job_inspect(home, file, person)
    assert shown["provider"]["name"] == "Example Advice" and "at most 8.65 bits" in "\n".join(shown["words"])
    dry = await verbs.job_dry_run(home, file, person)
    assert (dry["result"], dry["rows"]) == ('{"watts":400}', {"readings": 96})
    assert await kinds(home) == [] and results(provider, wait=0.3) == []

    given = await verbs.job_grant(home, {**file, "slots": "at-once", "example": True}, person)
    assert "  Example  on your data, today: watts: 400" in person.shown[-1]["job"]["words"]
    assert "           about as much as a number of 3 digits," in person.shown[-1]["job"]["words"]
    assert person.shown[-1]["job"]["job"] == "evening" and given["runs_allowed"] == 12
    person.answer = "no"
    declined = await verbs.job_run(home, {"grant": given["grant"]}, person)
    assert (declined["outcome"], declined["delivery"]["sent"]) == ("none", 1)
    (line,) = results(provider)
    assert line["outcome"] == "none"
    person.answer = "yes"
    done = await verbs.job_run(home, {"grant": given["grant"][:8]}, person)
    assert person.shown[-1]["preview"]["result"] == done["result"] == dry["result"]
    assert person.heard[-1] == (96, 96, "run"), "how far the run is"
    assert done["delivery"] == {"sent": 1, "waiting": 0, "problem": "", "held": 0, "next": None}
    (line,) = results(provider)
    assert line["result"] == {"watts": 400}

    again = await verbs.job_run(home, {"grant": given["grant"]}, person)
    nothing = {**done["delivery"], "sent": 0}
    assert again == {**done, "again": True, "delivery": nothing} and len(declined["message"]) == len(done["message"])
    assert results(provider, wait=0.3) == []
    (one,) = (await verbs.job_grants(home, {}, person))["grants"]
    assert (one["runs"], one["revoked"]) == (2, False)
    left = await verbs.job_left(home, {}, person)
    assert [(row["outcome"], row["reason"], row["delivered"] is None) for row in left["left"]] == [
        ("none", "declined", False), ("result", "", False)]  # fmt: skip
    await verbs.job_revoke(home, {"grant": given["grant"]}, person)
    assert (await load_grant(home, given["grant"])).revoked
    assert (await home.journal.verify()).ok


async def test_an_example_that_can_not_be_computed_keeps_no_grant(
    home: chez.Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the sandbox does not work now, the screen says so in its language, and asks all the same."""

    def broken(*_: object) -> Any:
        raise WorkerFailed("no process could be started")

    monkeypatch.setattr(verbs, "_runtime", broken)
    person = Person("yes")
    asked = {"bundle": bundle().encoded, "example": True, "language": "fr"}
    assert (await verbs.job_grant(home, asked, person))["grant"]
    said = "sur vos données elle ne donne rien maintenant : ce qui devait exécuter la tâche n'a pas pu travailler"
    assert said in "\n".join(person.shown[-1]["job"]["words"])


async def test_saying_no_grants_nothing(provider: Path, home: chez.Home) -> None:
    """A grant that is not wanted leaves no record, and one receipt that says so."""
    done = await verbs.job_grant(home, {"bundle": signed(provider).encoded}, Person("n"))
    assert done == {"grant": None}
    assert await kinds(home) == ["grant-refused"] and (await verbs.job_grants(home, {}, Person("n")))["grants"] == []


@pytest.mark.slow
async def test_an_inbox_full_of_rubbish_does_not_stop_results(
    provider: Path, home: chez.Home, runtime: Runtime
) -> None:
    """Whoever has the bundle may write: rubbish, repeats and forgeries are told apart from results."""
    from chez import inboxes
    from chez_sandbox.provider.keys import load_keys

    keys = load_keys(provider / "provider.key")
    given = await grant(home, signed(provider))
    departure = await run_once(home, given.grant.id, runtime)
    for item in (b"rubbish", departure.message[:-1] + bytes([departure.message[-1] ^ 1])):
        await inboxes.put(keys.relay, keys.inbox, keys.inbox_writer, item)
    await deliver(home, LATER)
    lines = results(provider)
    assert [line["outcome"] for line in lines] == ["invalid", "invalid", "result"]
    # The relay forgets what was acknowledged, so a repeat can come; it is not kept twice.
    await inboxes.put(keys.relay, keys.inbox, keys.inbox_writer, departure.message)
    assert results(provider) == []


async def test_a_yes_after_midnight_is_to_what_was_shown(home: chez.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last day of a grant is the one that the person saw, not one that follows from when they answered."""
    class Day(date):
        now = date(2026, 11, 29)

        @classmethod
        def today(cls) -> date:  # type: ignore[override]
            return cls.now

    class Late(Person):
        async def ask(self, question: str, *, default: str | None = None) -> str:
            Day.now += timedelta(days=1)
            return await super().ask(question, default=default)

    monkeypatch.setattr(verbs, "date", Day)
    person = Late("yes")
    given = await verbs.job_grant(home, {"bundle": bundle().encoded, "days": 3}, person)
    assert given["until"] == "2026-12-02" and "2026-12-02" in "\n".join(person.shown[-1]["job"]["words"])


async def test_what_nobody_would_see_before_it_leaves_does_not_run(home: chez.Home, runtime: Runtime) -> None:
    """A grant that shows each result first, where nobody is there to look: refused before anything is spent."""
    given = await grant(home, bundle())
    with pytest.raises(NotAllowed):
        await verbs.job_run(home, {"grant": given.grant.id, "answers": False}, Person("yes"))
    assert await home.journal.receipts("run") == []
