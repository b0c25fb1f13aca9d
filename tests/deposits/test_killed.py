"""Killed at any moment, the organisation's batch and the person's device: nothing doubled, nothing lost."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

import chez
from chez import inboxes
from chez.crypto import Kdf
from chez.deposits.address import Quota
from chez.deposits.message import open_deposit
from chez_deposit import save_keys
from chez_wire.login import inbox_of
from tests.deposits.dying import POINTS
from tests.deposits.support import Insurer, address, address_keys, given, lines, policy, values
from tests.home.pairing import PASSPHRASE

pytestmark = pytest.mark.slow

KILLS = 3
CUSTOMERS, RECORDS = 40, 12


def run(seconds: float | None, *words: str) -> int | None:
    """Run a program of ours, killed after so many seconds; its exit code, None when it was killed."""
    process = subprocess.Popen([sys.executable, "-m", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        process.kill()
        process.wait()


async def test_a_batch_that_is_killed_again_and_again_arrives_once(insurer: Insurer, url: str) -> None:
    """Whatever the moments at which `chez-deposit send` was killed, each customer's inbox has each record once, in
    messages whose numbers have no gap."""
    names = [f"customer {n}" for n in range(CUSTOMERS)]
    for name in names:
        keys = address_keys(name)
        await inboxes.create(url, keys.inbox, keys.put.public, ttl=3600)
        insurer.book.add_customer(name, address(name, relay=url, quota=Quota(records=RECORDS // 3)).text)
    insurer.book.db.close()
    folder = insurer.folder
    save_keys(folder / "key", insurer.keys)
    batch = folder / "batch.jsonl"
    batch.write_text("".join(lines(name, [policy(n, note="x" * 200) for n in range(RECORDS)]) for name in names))
    send = ("chez_deposit", "send", str(batch), "--key", str(folder / "key"), "--book",
            str(folder / f"{insurer.keys.name}.book"))
    random = Random(5)
    for _ in range(KILLS):
        await asyncio.to_thread(run, random.uniform(0.3, 1.2), *send)
    assert await asyncio.to_thread(run, 60, *send) == 0
    for name in names:
        keys = address_keys(name)
        found = []
        async with inboxes.watch(url, keys.inbox) as items:
            async for item in items:
                found.append(open_deposit(item.item, keys.sealing, inbox_of(keys.inbox.public)))
                if len(found) == 3:
                    break
        assert [one.number for one in found] == [1, 2, 3]
        said = [json.loads(line)["number"] for one in found for _, _, line in one.records()]
        assert said == [str(n) for n in range(RECORDS)]


async def test_a_device_that_is_killed_again_and_again_takes_each_message_once(
        tmp_path: Path, insurer: Insurer, url: str) -> None:
    """Whatever the moments at which `chez sync` was killed, in the end each record is there, each message was taken in
    one transaction with its receipt, and the inbox is empty."""
    folder = tmp_path / "person"
    passphrase = tmp_path / "passphrase"
    passphrase.write_text(PASSPHRASE + "\n")
    passphrase.chmod(0o600)
    await chez.create(folder, passphrase=PASSPHRASE, name="laptop", kdf=Kdf.minimum())
    async with chez.open(folder, passphrase=PASSPHRASE) as mine:
        await mine.set_relay(url)
        to = await given(mine, insurer, "Insurer", quota=Quota(records=100_000))
        await mine.sync()
    for n in range(8):
        await insurer.leave("Insurer", [policy(f"{n}-{m}") for m in range(150)], f"batch {n}")
    sync = ("chez.cli", "--home", str(folder), "--passphrase-file", str(passphrase), "sync")
    random = Random(7)
    for _ in range(KILLS):
        await asyncio.to_thread(run, random.uniform(0.4, 1.4), *sync)
    assert await asyncio.to_thread(run, 100, *sync) == 0
    async with chez.open(folder, passphrase=PASSPHRASE) as mine:
        assert len(await values(mine)) == 8 * 150
        deposits = await mine.deposits.all()
        assert [one.number for one in deposits] == list(range(1, len(deposits) + 1))
        assert sum(one.added for one in deposits) == 8 * 150
        assert len(await mine.journal.receipts("deposit-taken")) == len(deposits)
        assert (await mine.journal.verify()).ok
        assert (await mine.sync()).deposits.messages == 0
    assert (await insurer.collect()).taken == len(deposits) == insurer.book.standing().taken
    assert to.acknowledged


async def test_a_device_that_is_killed_between_two_words_takes_each_message_once(
        tmp_path: Path, insurer: Insurer, url: str) -> None:
    """At each moment between what it keeps and what it tells, the relay or the organisation: what it took is taken
    again by nobody, nothing stays at the relay, and of each message the organisation hears that it was taken."""
    folder = tmp_path / "person"
    await chez.create(folder, passphrase=PASSPHRASE, name="laptop", kdf=Kdf.minimum())
    async with chez.open(folder, passphrase=PASSPHRASE) as mine:
        await mine.set_relay(url)
        await given(mine, insurer, "Insurer")
        await mine.sync()
    for point in range(len(POINTS)):
        await insurer.leave("Insurer", [policy(f"{point}-{n}") for n in range(3)], f"batch {point}")
        ended = await asyncio.to_thread(run, 60, "tests.deposits.dying", str(folder), str(point))
        assert ended == -signal.SIGKILL, POINTS[point]
    async with chez.open(folder, passphrase=PASSPHRASE) as mine:
        await mine.deposits.take()
        assert len(await values(mine)) == 3 * len(POINTS)
        deposits = await mine.deposits.all()
        assert [(one.number, one.added) for one in deposits] == [(n, 3) for n in range(1, len(POINTS) + 1)]
        assert len(await mine.journal.receipts("deposit-taken")) == len(POINTS)
        assert (await mine.journal.verify()).ok
        again = await mine.deposits.take()
        assert (again.messages, again.dropped, again.acknowledged) == (0, 0, 0)
    await insurer.collect()
    assert insurer.book.standing().taken == len(POINTS)
