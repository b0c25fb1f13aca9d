"""A device that was removed has the keys of addresses: which these are is told, and new ones take their place."""

from pathlib import Path

import pytest

import chez
from chez.deposits.address import AddressKeys, read_address
from chez.errors import NotAllowed
from tests.deposits.support import POLICIES, Insurer, message, policy, put, values
from tests.people.support import join


@pytest.mark.slow
async def test_a_removed_device_has_no_keys_of_a_renewed_address(
        tmp_path: Path, home: chez.Home, insurer: Insurer, url: str) -> None:
    """Addresses that were made before a removal are named, those after are not; renewed, an address has the same terms
    and keys that follow from no epoch of the removed device; what lay there is taken; what comes is corrected there."""
    card = insurer.keys.card.text
    await home.deposits.new("renewed", [POLICIES], card=card, acks="soon")
    async with join(home, tmp_path / "phone", "phone", url) as phone:
        before = await home.deposits.address("renewed")
        assert before.readers == () and before.text is not None
        await home.sync()
        await put(read_address(before.text), message(read_address(before.text), insurer.keys, [policy("n1", "1.00")]))
        await home.devices.remove("phone")
        named = await home.deposits.address("renewed")
        assert named.readers == ("phone",)
        after = await home.deposits.new("made after", [POLICIES], card=card)
        assert after.readers == ()
        epochs = list(phone._spaces.private.space.epochs.values())
    made = await home.deposits.renew("renewed")
    assert (await values(home))["n1"]["premium"] == "1.00"
    assert made.text is not None and made.id != before.id and made.readers == ()
    assert (made.types, made.quota, made.acks, made.organisation_words) == (
        before.types, before.quota, before.acks, before.organisation_words)
    assert (await home.deposits.address(before.id)).state == "revoked"
    stored = await home._database.read(lambda db: home.deposits._book.find(db, "renewed"))
    assert made.id not in {AddressKeys.derive(epoch, stored.form.nonce).id.hex() for epoch in epochs}
    await home.sync()
    to = read_address(made.text)
    await put(to, message(to, insurer.keys, [policy("n1", "2.00")]))
    assert (await home.sync()).deposits.updated == 1 and (await values(home))["n1"]["premium"] == "2.00"
    with pytest.raises(NotAllowed, match="was revoked"):
        await home.deposits.renew(before.id)


async def test_an_address_for_nobody_yet_is_renewed_as_such(home: chez.Home) -> None:
    """It stays for nobody, and is another one; offline, too."""
    made = await home.deposits.new("nobody", [POLICIES])
    again = await home.deposits.renew("nobody")
    assert (again.organisation, again.state) == ("", "open") and again.text != made.text
    await home.deposits.revoke("nobody")
