"""An organisation's new key: its customers' addresses follow it, and nobody else."""

import stat
from itertools import count
from pathlib import Path

import pytest

import chez
from chez.deposits.address import read_address
from chez.deposits.card import MAX_CARD, read_card
from chez.deposits.message import open_deposit
from chez.errors import HomeExists, InvalidValue, NotAllowed, NotFound
from chez.home.deposits.heirs import holder_of
from chez.home.deposits.intake import Verdict
from chez_deposit import (
    Book,
    OrganisationKeys,
    build,
    collect,
    load_keys,
    new_keys,
    replace_keys,
    save_keys,
    send,
    stage,
    succeeding_keys,
)
from tests.deposits.support import (
    NOW,
    Insurer,
    address,
    address_keys,
    given,
    judged,
    lines,
    message,
    organisation,
    policy,
    put,
    values,
)
from tests.people.support import join
from tests.relay.support import seed

NOON = NOW * 1000


def heir(old: OrganisationKeys, name: str = "heir") -> OrganisationKeys:
    """The keys that go on as others did, which depend on a name alone."""
    counter = iter(range(4))
    return succeeding_keys(old, lambda _: seed(f"{name} {next(counter)}"))


async def test_a_new_key_goes_on_at_the_address(home: chez.Home, insurer: Insurer) -> None:
    """Its message is taken at the same address, and corrects what the former key left; the person is told; what the
    former key signs from then on is dropped, but for what was taken of it; a third key follows in the same way."""
    to = await given(home, insurer, "followed")
    first = message(to, insurer.keys, [policy("s1", "1.00"), policy("s2")])
    await judged(home, to, first, NOON)
    second, third = heir(insurer.keys, "second"), heir(heir(insurer.keys, "second"), "third")
    item = message(to, second, [policy("s1", "2.00")], number=2, card=second.card.text)
    assert (await judged(home, to, item, NOON)) == (Verdict.TAKEN, {"updated": 1})
    assert (await values(home))["s1"]["premium"] == "2.00"
    shown = await home.deposits.address("followed")
    assert (shown.organisation_words, shown.text, shown.state) == (second.card.words, to.text, "open")
    (told,) = await home.journal.receipts("deposit-address-succeeded", label="followed")
    assert (told.body["words"], told.body["organisation"]) == (second.card.words, "Insurer SA")
    assert (await judged(home, to, first, NOON))[0] is Verdict.REPEATED
    late = message(to, insurer.keys, [policy("s1", "9.00")], number=3, card=insurer.keys.card.text)
    assert (await judged(home, to, late, NOON))[0] is Verdict.DROPPED
    item = message(to, third, [policy("s2", "3.00")], number=4, card=third.card.text)
    assert (await judged(home, to, item, NOON))[1] == {"updated": 1}
    replayed = message(to, second, [policy("s1", "8.00")], number=5, card=second.card.text)
    assert (await judged(home, to, replayed, NOON))[0] is Verdict.DROPPED
    assert (await home.deposits.address("followed")).organisation_words == third.card.words


async def test_a_device_that_missed_a_key_follows_by_the_chain(home: chez.Home, insurer: Insurer) -> None:
    """A card that leads from the address's key over others is followed at once; one that does not is dropped, as is
    one whose message another key signed."""
    to = await given(home, insurer, "missed")
    third, stranger = heir(heir(insurer.keys, "second"), "third"), heir(organisation("Other"), "stranger")
    for wrong in (message(to, stranger, [policy("k1")], card=stranger.card.text),
                  message(to, stranger, [policy("k1")], card=third.card.text),
                  message(to, organisation("Forger"), [policy("k1")], card=third.card.text),
                  message(to, third, [policy("k1")])):
        assert await judged(home, to, wrong, NOON) == (Verdict.DROPPED, {})
    item = message(to, third, [policy("k1")], card=third.card.text)
    assert (await judged(home, to, item, NOON))[1] == {"added": 1}


async def test_two_successors_are_told_and_neither_is_taken(home: chez.Home, insurer: Insurer) -> None:
    """When the former key, stolen say, signs another successor, nothing is taken of either until the person says
    which goes on; from then on the other is dropped, and whatever else the stolen key signs."""
    to = await given(home, insurer, "forked")
    honest, thief = heir(insurer.keys, "honest"), heir(insurer.keys, "thief")
    good = [message(to, honest, [policy("f1", premium)], number=number, card=honest.card.text)
            for number, premium in ((1, "1.00"), (3, "3.00"))]
    bad = message(to, thief, [policy("f1", "666.00")], number=2, card=thief.card.text)
    assert (await judged(home, to, good[0], NOON))[0] is Verdict.TAKEN
    for item in (bad, good[1], bad, message(to, insurer.keys, [policy("f1")], number=4)):
        assert (await judged(home, to, item, NOON))[0] is Verdict.UNALLOWED
    shown = await home.deposits.address("forked")
    assert (shown.state, {one.words for one in shown.applicants}) == ("contested", {honest.card.words,
                                                                                    thief.card.words})
    assert len(await home.journal.receipts("deposit-address-contested", label="forked")) == 1
    with pytest.raises(NotAllowed, match="is contested"):  # for whom a new one were, nobody knows yet
        await home.deposits.renew("forked")
    with pytest.raises(NotFound, match="nobody with these words"):
        await home.deposits.allow("forked", organisation("Other").card.words)
    assert (await home.deposits.allow("forked", honest.card.words)).state == "open"
    assert (await judged(home, to, bad, NOON))[0] is Verdict.DROPPED
    again = heir(insurer.keys, "thief again")
    item = message(to, again, [policy("f1", "777.00")], number=2, card=again.card.text)
    assert (await judged(home, to, item, NOON))[0] is Verdict.DROPPED
    assert (await judged(home, to, good[1], NOON))[0] is Verdict.TAKEN
    assert (await values(home))["f1"]["premium"] == "3.00"
    with pytest.raises(NotAllowed):
        await home.deposits.allow("forked", thief.card.words)


@pytest.mark.slow
async def test_two_devices_that_followed_different_successors_agree(
        tmp_path: Path, home: chez.Home, insurer: Insurer, url: str) -> None:
    """Each device took one before it heard of the other: after a sync both say that it is contested, and the person's
    word on one of them counts on both."""
    to = await given(home, insurer, "two devices")
    await home.sync()
    honest, thief = heir(insurer.keys, "honest"), heir(insurer.keys, "thief")
    async with join(home, tmp_path / "phone", "phone", url) as phone:
        for one, keys in ((home, honest), (phone, thief)):
            item = message(to, keys, [policy(keys.card.words)], card=keys.card.text)
            assert (await judged(one, to, item, NOON))[0] is Verdict.TAKEN
        for one in (home, phone, home):
            await one.sync()
        assert {(await one.deposits.address("two devices")).state for one in (home, phone)} == {"contested"}
        await phone.deposits.allow("two devices", honest.card.words)
        for one in (phone, home):
            await one.sync()
            shown = await one.deposits.address("two devices")
            assert (shown.state, shown.organisation_words) == ("open", honest.card.words)
        await phone.deposits.revoke("two devices")
    await home.sync()


async def test_no_successor_comes_after_the_address_was_revoked(home: chez.Home, insurer: Insurer) -> None:
    """What a successor leaves at an address that the person revoked is not taken, and it is nobody's."""
    to = await given(home, insurer, "revoked before")
    await home.deposits.take()
    successor = heir(insurer.keys)
    await put(to, message(to, successor, [policy("r1")], card=successor.card.text))
    await home.deposits.revoke("revoked before")
    assert (await home.deposits.take()).messages == 0 and "r1" not in await values(home)
    shown = await home.deposits.address("revoked before")
    assert (shown.state, shown.organisation_words) == ("revoked", insurer.keys.card.words)
    assert await home.journal.receipts("deposit-address-succeeded", label="revoked before") == []


def test_whose_an_address_is_does_not_depend_on_the_order() -> None:
    """A card that is no heir, one under another key, and one that can't be read count for nothing."""
    first = organisation()
    second, other = heir(first, "second"), organisation("Other")
    heirs = {second.card.key.hex(): second.card.text, other.card.key.hex(): other.card.text,
             "00": second.card.text, "01": "chez-organisation:AA"}
    found = holder_of(first.card.text, heirs, "ff")
    assert found is not None and (found.card, found.rivals) == (second.card, ())
    assert found == holder_of(first.card.text, dict(reversed(heirs.items())), "")
    assert found.lineage == {first.card.key, second.card.key} and holder_of("", heirs, "") is None


@pytest.mark.slow
async def test_the_organisation_goes_on_with_its_book(tmp_path: Path, home: chez.Home, insurer: Insurer) -> None:
    """A new key with the same book: messages before and after are taken and acknowledged, those for the former key at
    its inbox; what the former key signed is sent again only while its successor sent nothing."""
    to = await given(home, insurer, "Insurer")
    await home.deposits.take()
    insurer.prepare("Insurer", [policy("o1")], "before")
    keys, path = heir(insurer.keys), tmp_path / f"{insurer.keys.name}.book"
    insurer.book.db.close()
    with Book(path, keys, now=NOW) as book:
        file = tmp_path / "after.jsonl"
        file.write_text(lines("Insurer", [policy("o2")]))
        await send(book, keys, now=lambda: NOW)
        assert book.unacknowledged(NOW + 1, NOW) == (1, 0)
        await send(book, keys, now=lambda: NOW)
        build(book, keys, stage(book, file, batch="after").batch, now=NOW)
        assert (await send(book, keys, now=lambda: NOW)).queued == 0
        assert {one.ref for one in book.customers()} == {"Insurer"}
        report = (await home.sync()).deposits
        assert (report.messages, report.acknowledged) == (2, 2)
        assert (await collect(book, keys, now=lambda: NOW, wait=0.5)).taken == 2
        book.db.execute("UPDATE message SET state = 1, item = x'00'")
        assert book.unacknowledged(NOW + 1, NOW) == (1, 1)
    with pytest.raises(InvalidValue, match="another key"):
        Book(path, insurer.keys, now=NOW)
    assert read_address(to.text).organisation == insurer.keys.signing.public


def test_a_key_file_is_replaced_and_the_former_kept(tmp_path: Path) -> None:
    """The new keys are in the file, the former ones under another name, each its owner's only; nothing is overwritten,
    and one that was interrupted is gone over."""
    path, keep = tmp_path / "insurer.key", tmp_path / "insurer.key.1"
    first = organisation()
    save_keys(path, first)
    (tmp_path / "insurer.key.new").write_text("half of")
    second = heir(first)
    replace_keys(path, second, keep)
    assert (load_keys(path), load_keys(keep)) == (second, first)
    assert {stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()} == {0o600}
    with pytest.raises(HomeExists):
        replace_keys(path, heir(second, "third"), keep)
    assert load_keys(path) == second and len(list(tmp_path.iterdir())) == 2


def test_a_card_stays_short_however_often_the_key_changes() -> None:
    """Of many keys a card tells of the last eight, and fits a message with the longest name that one may have."""
    long, counter = "\U00020000" * 128, count()
    host = ".".join(("h" * 60, *("h" * 59,) * 3))
    keys = new_keys(long, long, long, f"wss://{host}", lambda _: seed(f"long {next(counter)}"))
    for number in range(12):
        keys = heir(keys, f"key {number}")
        assert len(keys.card.text) <= MAX_CARD and read_card(keys.card.text) == keys.card
    assert len(keys.card.formerly) == 8 and len(keys.own) == 13
    item = message(address(), keys, [policy("l1", note="x" * 48_000)], card=keys.card.text)
    assert open_deposit(item, address_keys().sealing, address().inbox).card == keys.card.text
