"""Consent on a restored home: what was granted runs where it was granted, and nowhere else."""

from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import NotAllowed
from chez_sandbox.consent.accounts import Ceilings, accounts_of
from chez_sandbox.consent.grants import load_grant, revoke_grant
from chez_sandbox.consent.run import authorise, settle_all
from chez_sandbox.job_errors import GrantEnded, VersionWentBack
from tests.jobs.test_grants import TODAY, bundle, grant


async def test_a_restored_device_runs_nothing_that_was_granted_elsewhere(home: chez.Home, tmp_path: Path) -> None:
    """The old device's grants are refused, its interrupted runs left alone, its accounts closed; it may revoke."""
    given = await grant(home, bundle())
    accounts = accounts_of(given.grant.id, given.bundle.manifest, given.grant.bits, Ceilings())
    await home.journal.reserve(accounts, 1.0, "run", {"grant": given.grant.id, "sequence": 1})
    await home.backup(tmp_path / "backup")
    await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase="correct horse", kdf=Kdf.minimum())
    async with chez.open(tmp_path / "again", passphrase="correct horse") as again:
        assert (await load_grant(again, given.grant.id)).grant == given.grant
        with pytest.raises(GrantEnded):
            async with authorise(again, given.grant.id, TODAY):
                pass
        assert await settle_all(again, TODAY) == []
        for id in (given.grant.id, "02" * 16):
            with pytest.raises(NotAllowed, match="closed"):
                await again.journal.reserve(
                    accounts_of(id, given.bundle.manifest, given.grant.bits, Ceilings()), 1.0, "run", {})
        await revoke_grant(again, given.grant.id)
    await home.journal.reserve(accounts, 1.0, "run", {"grant": given.grant.id, "sequence": 2})


async def test_what_is_granted_anew_may_be_spent_on_a_restored_device(home: chez.Home, tmp_path: Path) -> None:
    """A grant on the restored device opens its accounts for its own bits, however much the ceilings would let."""
    given = await grant(home, bundle())
    await home.backup(tmp_path / "backup")
    await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase="correct horse", kdf=Kdf.minimum())
    async with chez.open(tmp_path / "again", passphrase="correct horse") as again:
        fresh = await grant(again, bundle(), 2)
        bits = fresh.grant.bits
        accounts = accounts_of(fresh.grant.id, fresh.bundle.manifest, bits, Ceilings())
        await again.journal.reserve(accounts, bits, "run", {"grant": fresh.grant.id, "sequence": 1})
        shared = {name: limit for name, limit in accounts.items() if not name.startswith("grant:")}
        assert len(shared) == len(accounts) - 1
        for name, limit in shared.items():
            with pytest.raises(NotAllowed, match="closed"):
                await again.journal.reserve({name: limit}, 1.0, "run", {})
        other = accounts_of("03" * 16, given.bundle.manifest, bits, Ceilings())
        with pytest.raises(NotAllowed, match="closed"):
            await again.journal.reserve(other, 1.0, "run", {})


async def test_a_restored_device_takes_no_older_version(home: chez.Home, tmp_path: Path) -> None:
    """What was granted on the device that this home was counts: a job's versions only rise."""
    await grant(home, bundle(version=3))
    await home.backup(tmp_path / "backup")
    await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase="correct horse", kdf=Kdf.minimum())
    async with chez.open(tmp_path / "again", passphrase="correct horse") as again:
        with pytest.raises(VersionWentBack):
            await grant(again, bundle(version=2), 2)
        await grant(again, bundle(version=3), 2)
