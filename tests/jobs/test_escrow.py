"""Allowance in escrow: whatever devices, relays, restarts and restores do, no ceiling is exceeded."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chez.crypto import SigningKey
from chez.errors import InvalidValue
from chez_sandbox.consent.escrow import (
    Charge,
    Purse,
    Transfer,
    available,
    credit,
    forgo,
    give,
    limit,
    reclaim,
    spend,
    thousandths,
)
from chez_sandbox.job_errors import BudgetSpent, TransferRefused
from tests.tries import tries

CEILINGS = {"provider:a": 1000, "provider:b": 700, "collection:readings": 1500}
ACCOUNTS = st.sampled_from(list(CEILINGS))
ANY = st.integers(0, 10**6)
"""Which device or transfer, counted around."""


def key_of(number: int) -> SigningKey:
    """A device's key."""
    return SigningKey.from_seed(number.to_bytes(32, "big"))


class Device:
    """One device that a person has or had: its key, its purse, and what it spent, counted by the test."""

    def __init__(self, number: int) -> None:
        self.key = key_of(number)
        self.purse = Purse(self.key.public, first=number == 0)
        self.spent = dict.fromkeys(CEILINGS, 0)

    def sign(self, context: str, *fields: bytes) -> bytes:
        """What `Home.sign` does."""
        return self.key.sign(f"chez/1 application {context}", *fields)


class Escrow(RuleBasedStateMachine):
    """Devices that hear of each other's transfers in any order, late, again, altered, or never."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = [Device(0), Device(1), Device(2)]
        self.gone: list[Device] = []
        self.sent: list[Transfer] = []
        self.came: set[Transfer] = set()
        self.most = dict(CEILINGS)

    @property
    def people(self) -> set[bytes]:
        """The ids of all devices there were."""
        return {device.key.public for device in (*self.alive, *self.gone)}

    @rule(who=ANY, accounts=st.sets(ACCOUNTS, min_size=1), amount=st.integers(0, 1600))
    def spends(self, who: int, accounts: set[str], amount: int) -> None:
        """A run is debited from several accounts at once, or from none."""
        device = self.alive[who % len(self.alive)]
        left = min(available(device.purse, name, CEILINGS[name]) for name in accounts)
        try:
            device.purse = spend(device.purse, [Charge(name, amount, CEILINGS[name]) for name in accounts])
        except BudgetSpent:
            assert amount > left
            return
        assert amount <= left
        for name in accounts:
            device.spent[name] += amount

    @rule(who=ANY, to=ANY, account=ACCOUNTS, amount=st.integers(1, 300) | st.integers(1, 1600))
    def gives(self, who: int, to: int, account: str, amount: int) -> None:
        """A share leaves its giver, and is in the relay's hands."""
        device, other = self.alive[who % len(self.alive)], self.alive[to % len(self.alive)]
        try:
            device.purse, transfer = give(
                device.purse, account, CEILINGS[account], other.key.public, amount, device.sign)
        except (BudgetSpent, InvalidValue):
            return
        self.sent.append(transfer)

    @rule(which=ANY, who=ANY)
    def delivers(self, which: int, who: int) -> None:
        """The relay shows any transfer to any device, as often as it likes."""
        if not self.sent:
            return
        transfer = self.sent[which % len(self.sent)]
        meant = [device for device in self.alive if device.key.public == transfer.receiver]
        device = meant[0] if meant and who % 4 else self.alive[who % len(self.alive)]
        try:
            device.purse = credit(device.purse, transfer, self.people)
        except TransferRefused:
            assert transfer.receiver != device.key.public
        else:
            self.came.add(transfer)

    @rule(which=ANY, who=ANY, more=st.integers(1, 500), field=st.sampled_from(
        ["amount", "number", "receiver", "account", "giver", "invented"]))
    def lies(self, which: int, who: int, more: int, field: str) -> None:
        """The relay alters a transfer, or signs one with a key of its own: refused, the purse as it was."""
        if not self.sent:
            return
        true, device = self.sent[which % len(self.sent)], self.alive[who % len(self.alive)]
        stranger = key_of(10**9)
        changes: dict[str, Any] = {
            "amount": {"amount": true.amount + more},
            "number": {"number": true.number + more, "receiver": device.key.public},
            "receiver": {"receiver": device.key.public} if true.receiver != device.key.public else {"amount": 10**6},
            "account": {"account": "provider:c", "receiver": device.key.public},
            "giver": {"giver": stranger.public, "receiver": device.key.public},
            "invented": {"giver": stranger.public, "receiver": device.key.public},
        }
        forged = msgspec.structs.replace(true, **changes[field])
        if field == "invented":
            signature = stranger.sign("chez/1 application allowance transfer", *forged.fields)
            forged = msgspec.structs.replace(forged, signature=signature)
        with pytest.raises(TransferRefused):
            credit(device.purse, forged, self.people)

    @rule(who=ANY)
    def restarts(self, who: int) -> None:
        """What is stored of a purse is all there is to it."""
        device = self.alive[who % len(self.alive)]
        stored = msgspec.msgpack.encode(device.purse)
        device.purse = msgspec.msgpack.decode(stored, type=Purse)

    @rule(who=ANY, copied=st.booleans())
    def restores(self, who: int, copied: bool) -> None:
        """A device is restored from a backup, or copied and goes on beside it: the new one has nothing."""
        device = self.alive[who % len(self.alive)]
        if len(self.people) > 12:
            return
        new = Device(len(self.people))
        assert all(available(new.purse, name, ceiling) == 0 for name, ceiling in CEILINGS.items())
        if not copied:
            self.alive.remove(device)
            self.gone.append(device)
        self.alive.append(new)

    @rule(account=ACCOUNTS, more=st.integers(0, 400))
    def limits(self, account: str, more: int) -> None:
        """The person sets a ceiling, higher or lower, down to what the first device used of it; others can't."""
        for device in self.alive:
            purse = device.purse
            if not purse.first:
                with pytest.raises(InvalidValue):
                    limit(purse, account, more)
                continue
            used = purse.spent.get(account, 0) + purse.given.get(account, 0) - purse.received.get(account, 0)
            self.most[account] = max(0, used + purse.apart.get(account, 0)) + more
            device.purse = limit(purse, account, self.most[account])

    @rule(which=ANY, who=ANY, also=ANY)
    def reclaims(self, which: int, who: int, also: int) -> None:
        """The person says that a device which is gone for good spends no more: another one has what it had; a second
        one, of which the person said so too, lets it go again."""
        if not self.gone:
            return
        lost, device = self.gone[which % len(self.gone)], self.alive[who % len(self.alive)]
        set_there = lost.purse.ceilings
        shares = {
            name: (available(lost.purse, name, ceiling), set_there.get(name, ceiling))
            for name, ceiling in CEILINGS.items()
        }
        device.purse = reclaim(device.purse, lost.purse.first, shares, set_there)
        second = self.alive[also % len(self.alive)]
        twice = reclaim(second.purse, lost.purse.first, shares, set_there)
        amounts = {name: share for name, (share, _) in shares.items()}
        second.purse = forgo(twice, lost.purse.first and second is not device, amounts)
        lost.purse = Purse(lost.key.public, first=False)

    @invariant()
    def no_ceiling_is_exceeded(self) -> None:
        """What was spent, what may be, and what is on its way are together exactly each ceiling."""
        everybody = [*self.alive, *self.gone]
        for name, ceiling in CEILINGS.items():
            spent = sum(device.spent[name] for device in everybody)
            left = sum(available(device.purse, name, ceiling) for device in everybody)
            under_way = sum(one.amount for one in self.sent if one.account == name and one not in self.came)
            assert spent <= self.most[name]
            assert spent + left + under_way == self.most[name]


TestEscrow = Escrow.TestCase
TestEscrow.settings = settings(max_examples=tries(60), stateful_step_count=40, deadline=None)


def test_a_share_is_counted_once() -> None:
    """Repeating a transfer gives the same purse, also when its giver is gone; another one under its number is refused,
    and says why, as is one to its giver; and no more is taken over than there is."""
    giver, receiver = Device(0), Device(1)
    devices = {giver.key.public, receiver.key.public}
    before = giver.purse
    giver.purse, first = give(before, "provider:a", 1000, receiver.key.public, 400, giver.sign)
    purse = credit(receiver.purse, first, devices)
    assert credit(purse, first, devices) is credit(purse, first, set()) is purse
    assert available(purse, "provider:a", 1000) == 400
    _, second = give(before, "provider:a", 1000, receiver.key.public, 300, giver.sign)
    with pytest.raises(TransferRefused, match="two shares"):
        credit(purse, second, devices)
    own = msgspec.structs.replace(second, receiver=giver.key.public)
    own = msgspec.structs.replace(own, signature=giver.sign("allowance transfer", *own.fields))
    with pytest.raises(TransferRefused, match="may give one"):
        credit(giver.purse, own, devices)
    for share in (-1, 1001):
        with pytest.raises(InvalidValue):
            reclaim(purse, False, {"provider:a": (share, 1000)})


@pytest.mark.parametrize("amount", [0, -5])
def test_a_share_is_more_than_nothing(amount: int) -> None:
    """Neither nothing nor less than nothing is given, nor anything to oneself; the purse is as it was."""
    giver = Device(0)
    with pytest.raises(InvalidValue):
        give(giver.purse, "provider:a", 1000, key_of(1).public, amount, giver.sign)
    with pytest.raises(InvalidValue):
        give(giver.purse, "provider:a", 1000, giver.key.public, 5, giver.sign)
    with pytest.raises(InvalidValue):
        spend(giver.purse, [Charge("provider:a", -1, 1000)])
    assert giver.purse == Device(0).purse


@given(st.dictionaries(ACCOUNTS, st.integers(0, 1600)), st.lists(st.tuples(ACCOUNTS, st.integers(0, 900)), max_size=5))
def test_all_is_spent_or_nothing(before: dict[str, int], wanted: list[tuple[str, int]]) -> None:
    """To the last thousandth that there is, what is of one account together; else it is told what lacks of which."""
    purse, sums = msgspec.structs.replace(Device(0).purse, spent=before), Counter[str]()
    left = {name: available(purse, name, ceiling) for name, ceiling in CEILINGS.items()}
    charges, lacks = [Charge(name, amount, CEILINGS[name]) for name, amount in wanted], list[tuple[str, int]]()
    for name, amount in wanted:
        sums[name] += amount
        lacks += [(name, sums[name] - left[name])] if sums[name] > left[name] else []
    if lacks:
        with pytest.raises(BudgetSpent) as told:
            spend(purse, charges)
        assert (told.value.account, told.value.lacks) == lacks[0]
    else:
        after = spend(purse, charges)
        assert {name: available(after, name, ceiling) for name, ceiling in CEILINGS.items()} == {
            name: left[name] - sums[name] for name in CEILINGS}


def test_all_that_there_is_may_be_given() -> None:
    """And not a thousandth more."""
    giver = Device(0)
    with pytest.raises(BudgetSpent):
        give(giver.purse, "provider:a", 1000, key_of(1).public, 1001, giver.sign)
    purse, transfer = give(giver.purse, "provider:a", 1000, key_of(1).public, 1000, giver.sign)
    assert transfer.amount == 1000 and available(purse, "provider:a", 1000) == 0


def test_a_ceiling_is_a_number_of_the_first_device() -> None:
    """Neither less than nothing, nor more than is ever counted, nor another device's; nothing is one."""
    purse = Device(0).purse
    for wrong, ceiling in ((purse, -1), (purse, 10**12 + 1), (Device(1).purse, 5)):
        with pytest.raises(InvalidValue):
            limit(wrong, "runs:a", ceiling)
    assert available(limit(purse, "runs:a", 0), "runs:a", 1000) == 0


@given(st.floats(0, 10**6))
def test_bits_are_rounded_against_the_spender(bits: float) -> None:
    """Thousandths are never fewer than the bits, and at most one more."""
    assert 0 <= thousandths(bits) - bits * 1000 <= 1


@pytest.mark.parametrize("bits", [-1.0, float("nan"), float("inf"), 1e9])
def test_what_is_no_amount_is_refused(bits: float) -> None:
    """Less than nothing, no number, and without end are no amounts."""
    with pytest.raises(InvalidValue):
        thousandths(bits)


def test_a_transfer_is_closed() -> None:
    """One with a field more, of another version, or with nothing to give does not decode."""
    fields: list[Any] = [1, bytes(32), bytes(32), 1, "a", 5, bytes(64)]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(fields), type=Transfer).amount == 5
    nothing, unnumbered = [*fields[:5], 0, bytes(64)], [*fields[:3], 0, *fields[4:]]
    for wrong in ([*fields, 1], [2, *fields[1:]], fields[:-1], nothing, unnumbered):
        with pytest.raises(msgspec.ValidationError):
            msgspec.msgpack.decode(msgspec.msgpack.encode(wrong), type=Transfer)
