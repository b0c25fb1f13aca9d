"""Consent on a restored home: what was granted runs where it was granted, and nowhere else."""

from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez_sandbox.consent.accounts import Ceilings, charges_of
from chez_sandbox.consent.allowance import charge, purse_in
from chez_sandbox.consent.asking import with_shares
from chez_sandbox.consent.grant import Granted
from chez_sandbox.consent.grants import load_grant, revoke_grant
from chez_sandbox.consent.run import authorise, settle_all
from chez_sandbox.job_errors import BudgetSpent, GrantEnded, VersionWentBack
from tests.jobs.test_grants import TODAY, bundle, grant


async def debit(home: chez.Home, given: Granted, sequence: int) -> None:
    """What a run of a grant is debited, without the run."""
    charges = charges_of(given.grant.id, given.bundle.manifest, amount=given.bundle.manifest.schema.bits,
                         granted=given.grant.bits, ceilings=Ceilings())
    body = {"grant": given.grant.id, "sequence": sequence}
    await with_shares(home, lambda transaction: charge(home, transaction, charges, "run", body))


async def test_a_restored_device_runs_nothing_that_was_granted_elsewhere(home: chez.Home, tmp_path: Path) -> None:
    """The old device's grants are refused, its interrupted runs left alone; the restored one holds no
    allowance, whatever is granted on it, says who may have one, and may revoke."""
    given = await grant(home, bundle())
    await debit(home, given, 1)
    await home.backup(tmp_path / "backup")
    await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase="correct horse", kdf=Kdf.minimum())
    async with chez.open(tmp_path / "again", passphrase="correct horse") as again:
        assert (await load_grant(again, given.grant.id)).grant == given.grant
        with pytest.raises(GrantEnded, match=r"on your device 'laptop' alone.*chez job revoke"):
            async with authorise(again, given.grant.id, TODAY):
                pass
        assert await settle_all(again, TODAY) == []
        fresh = await grant(again, bundle(), 2)
        with pytest.raises(BudgetSpent, match=r"provider:.* has 0 bits left .*'laptop', on which"):
            await debit(again, fresh, 1)
        assert (await again.transaction(lambda transaction: purse_in(again, transaction))).spent == {}
        await revoke_grant(again, given.grant.id)
    await debit(home, given, 2)


async def test_a_restored_device_takes_no_older_version(home: chez.Home, tmp_path: Path) -> None:
    """What was granted on the device that this home was counts: a job's versions only rise."""
    await grant(home, bundle(version=3))
    await home.backup(tmp_path / "backup")
    await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase="correct horse", kdf=Kdf.minimum())
    async with chez.open(tmp_path / "again", passphrase="correct horse") as again:
        with pytest.raises(VersionWentBack):
            await grant(again, bundle(version=2), 2)
        await grant(again, bundle(version=3), 2)
