"""A provider's keys: one that the old one signed goes on as it was; one that it did not sign gets nothing fresh."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import chez
from chez.crypto import Kdf, SigningKey
from chez.errors import InvalidValue
from chez_sandbox.bundle import Bundle, build_bundle, open_bundle
from chez_sandbox.consent import verbs
from chez_sandbox.consent.accounts import Ceilings, charges_of
from chez_sandbox.consent.allowance import charge
from chez_sandbox.consent.departures import departures
from chez_sandbox.consent.difference import granted_before, news_words
from chez_sandbox.consent.grant import Granted
from chez_sandbox.consent.grants import COLLECTION, list_grants, load_grant, revoke_grant
from chez_sandbox.consent.identity import identify
from chez_sandbox.consent.overview import told_in_all
from chez_sandbox.consent.pausing import resume_grant
from chez_sandbox.consent.run import authorise
from chez_sandbox.job_errors import BudgetSpent, BundleForged, GrantPaused, ManifestInvalid, VersionWentBack
from chez_sandbox.provider.cli import cli
from chez_sandbox.provider.keys import MAX_FORMERLY, ProviderKeys, load_keys, save_keys
from chez_sandbox.succession import succeed
from tests.jobs.samples import MEAN, READS, SIGNING, WHOLE, manifest_text
from tests.jobs.spending import spent
from tests.jobs.test_atomic import INSTANT
from tests.jobs.test_flow import Person
from tests.jobs.test_grants import NOW, TODAY, grant, tamper
from tests.jobs.test_runs import run_once
from tests.tries import tries

NEXT, THIRD, STRANGER = (SigningKey.from_seed(bytes([number]) * 32) for number in (21, 22, 23))
BITS = 10.0
"""More than a run of the sample takes."""


def of(key: SigningKey, *former: SigningKey, version: int = 1, domain: str = "example.org", **parts: Any) -> Bundle:
    """A bundle of a key, whose card says that it succeeds these, each signed by the one before."""
    text = manifest_text(signing=key, version=version, **parts).replace(b'"example.org"', f'"{domain}"'.encode())
    if domain != "example.org":
        text = text.replace(b"Example Energy Advice", f"Advice of {domain}".encode())
    chain = [succeed(old, new.public) for old, new in zip(former, [*former, key][1:], strict=True)]
    words = ", ".join(f'{{ key = "{one.key}", signature = "{one.signature}" }}' for one in chain)
    text = text.replace(b"\ninbox = ", f"\nformerly = [{words}]\ninbox = ".encode()) if chain else text
    return build_bundle(text, MEAN, "python", key)


async def debit(home: chez.Home, granted: Granted, bits: float) -> None:
    """Debit a run of a grant by so many bits, as the receipt of the grant says."""
    (receipt,) = await home.journal.receipts("grant", grant=granted.grant.id)
    charges = charges_of(granted.grant.id, granted.bundle.manifest, amount=bits, granted=10**6, ceilings=Ceilings(),
                         providers=receipt.body["accounts"])
    await home.transaction(lambda transaction: charge(home, transaction, charges, "run", {"bits": bits}))


async def test_what_one_provider_was_told_in_all_counts_its_former_keys(home: chez.Home) -> None:
    """`chez left` says of a provider that has a new key what its account was debited, under the old one too; once. Nor
    has the new key any runs of its own."""
    bits = 0.0
    for number, job in enumerate((of(SIGNING, reads=WHOLE), of(NEXT, SIGNING, version=2, reads=WHOLE)), 1):
        given = await grant(home, job, number)
        bits += given.bundle.manifest.schema.bits
        await run_once(home, given.grant.id, INSTANT)
    told = await told_in_all(home, await departures(home))
    assert [(one["provider"], one["bits"]) for one in told] == [
        (SIGNING.public.hex(), round(bits, 2)), (NEXT.public.hex(), round(bits, 2))]  # fmt: skip
    runs = [await spent(home, f"runs:provider:{key.public.hex()}") for key in (SIGNING, NEXT)]
    assert runs == [2, 0]
    await grant(home, of(STRANGER, domain="else.example", reads=WHOLE), 3)
    await run_once(home, (bytes([3]) * 16).hex(), INSTANT)
    said = [line for line in (await verbs.job_left(home, {}, Person("")))["words"] if line.startswith("In all to")]
    assert [(line.split(":")[0], f"at most {bits:.4g}" in line) for line in said] == [
        ("In all to Example Energy Advice", True), ("In all to Advice of else.example", False)]  # fmt: skip


async def test_what_a_key_was_told_before_anything_said_whose_it_is_counts_in_all(home: chez.Home) -> None:
    """Of a provider that came under a new key and name, and only later says that they are its own, `chez left` counts
    all runs, those before included, each once: no account was debited for all of them."""
    other = {"domain": "else.example", "reads": WHOLE}
    jobs = of(SIGNING, reads=WHOLE), of(NEXT, **other), of(NEXT, SIGNING, version=2, **other)
    for number, job in enumerate(jobs, 1):
        given = await grant(home, job, number)
        await run_once(home, given.grant.id, INSTANT)
    bits = round(3 * given.bundle.manifest.schema.bits, 2)
    told = await told_in_all(home, await departures(home))
    assert [one["bits"] for one in told] == [bits, bits] and told[0]["accounts"] == told[1]["accounts"]
    assert len([line for line in (await verbs.job_left(home, {}, Person("")))["words"]
                if line.startswith("In all to")]) == 1  # fmt: skip


async def test_a_signed_key_inherits_account_versions_and_grants(home: chez.Home) -> None:
    """A key that the old one signed is told of, spends on from the old account, continues its versions, and suspends
    nothing; the tie stays when a later bundle is silent about it."""
    first = await grant(home, of(SIGNING, version=2))
    await debit(home, first, 600)
    second = await grant(home, of(NEXT, SIGNING, version=3), 2)
    assert not second.pauses and not (await load_grant(home, first.grant.id)).pauses
    with pytest.raises(BudgetSpent):
        await debit(home, second, 401)
    await debit(home, second, 300)
    with pytest.raises(VersionWentBack):
        await grant(home, of(NEXT, SIGNING), 3)
    silent = await grant(home, of(NEXT, version=4), 4)
    with pytest.raises(BudgetSpent):
        await debit(home, silent, 101)
    grants = await list_grants(home)
    assert granted_before(grants, of(THIRD, SIGNING, NEXT, version=9)) == silent
    told = "\n".join(news_words(grants, of(THIRD, SIGNING, NEXT, version=9)))
    assert "has a new key, which the one it had before signed" in told and "HAD ANOTHER KEY" not in told


async def test_an_unsigned_key_is_suspended_and_finds_the_budget_as_it_left_it(home: chez.Home) -> None:
    """Another key under the name is loud; what it is granted, and what the old one was and is not over, waits for the
    person's word on each; resumed, it spends from what the old one left."""
    over, marked = [(await grant(home, of(SIGNING), number)).grant.id for number in (8, 9)]
    await revoke_grant(home, over)
    await tamper(home, marked, revoked=True)
    old = await grant(home, of(SIGNING))
    await debit(home, old, 990)
    fake = of(STRANGER)
    words = "\n".join(news_words(await list_grants(home), fake))
    assert "HAD ANOTHER KEY BEFORE" in words and "begins suspended" in words
    new = await grant(home, fake, 2)
    assert new == await load_grant(home, new.grant.id) and new.pauses
    paused = [one.body["grant"] for one in await home.journal.receipts("pause")]
    assert sorted(paused) == [old.grant.id, new.grant.id]
    for granted in (old, new):
        with pytest.raises(GrantPaused):
            async with authorise(home, granted.grant.id, TODAY):
                pass
    await resume_grant(home, new.grant.id, now=NOW)
    assert not (await load_grant(home, new.grant.id)).pauses and (await load_grant(home, old.grant.id)).pauses
    await debit(home, new, 10)
    with pytest.raises(BudgetSpent, match=f"provider:{SIGNING.public.hex()}"):
        await debit(home, new, 1)
    assert len(await home.journal.receipts("pause", cause=new.grant.id)) == 2
    assert (await home.journal.verify()).ok


async def test_of_two_successors_of_a_key_either_may_be_the_impostor(home: chez.Home) -> None:
    """Whoever kept a key that was replaced makes it a second successor: that one is loud, both are suspended, and its
    versions, however high, keep none of the other's back; whichever of them is granted first."""
    first = await grant(home, of(NEXT, SIGNING))
    stolen = of(THIRD, SIGNING, version=2**31)
    person = Person("yes")
    await verbs.job_grant(home, {"bundle": stolen.encoded}, person)
    said = "\n".join(person.shown[-1]["job"]["words"])
    assert "HAD ANOTHER KEY BEFORE" in said and "begins suspended" in said and "signed" not in said
    (second,) = [one for one in await list_grants(home) if one.grant.id != first.grant.id]
    assert second.pauses and (await load_grant(home, first.grant.id)).pauses
    honest = await grant(home, of(NEXT, SIGNING, version=2), 2)
    assert honest.pauses, "it is the other one to the thief's, too"
    await debit(home, second, 990)
    with pytest.raises(BudgetSpent):
        await debit(home, honest, 11)


async def test_a_key_that_was_replaced_signs_no_newer_version(home: chez.Home) -> None:
    """A job that was granted under a later key is granted under the one before no more, whatever its version; another
    job is, for it may be from before, with a loud word."""
    await grant(home, of(NEXT, SIGNING, version=3))
    for version in (2, 3, 4):
        with pytest.raises(VersionWentBack):
            await grant(home, of(SIGNING, version=version), 2)
    other = of(SIGNING, job="another")
    told = "\n".join(news_words(await list_grants(home), other))
    assert "HAS REPLACED THIS KEY" in told and "has a new key" not in told
    assert not (await grant(home, other, 3)).pauses


async def test_what_another_device_granted_is_not_granted_older_here(home: chez.Home, tmp_path: Path) -> None:
    """A second device knows the versions of the first by the records in the private space, where it suspends, too, what
    the first one runs: another key under the provider's name was granted here."""
    given = await grant(home, of(SIGNING, version=3))
    record = dict((await home.collection(COLLECTION).get(given.grant.id)).value)
    path = tmp_path / "phone"
    await chez.create(path, passphrase="correct horse", name="phone", kdf=Kdf.minimum())
    async with chez.open(path, passphrase="correct horse") as phone:
        await phone.collection(COLLECTION).put(record, id=given.grant.id)
        for older in (of(SIGNING), of(SIGNING, version=3, reads=READS.replace("365", "30"))):
            with pytest.raises(VersionWentBack):
                await grant(phone, older, 2)
        await grant(phone, of(SIGNING, version=3), 2)
        await grant(phone, of(STRANGER), 3)
        record = dict((await phone.collection(COLLECTION).get(given.grant.id)).value)
    await home.collection(COLLECTION).put(record, id=given.grant.id)
    assert (await load_grant(home, given.grant.id)).pauses


async def test_a_name_is_known_from_the_journal_when_its_record_is_gone(home: chez.Home) -> None:
    """With the old keys' records deleted the new one is loud, suspended and finds their root's account all the same;
    and a record that is put back comes back suspended."""
    old = await grant(home, of(NEXT, SIGNING))
    await debit(home, old, 990)
    record = (await home.collection(COLLECTION).get(old.grant.id)).value
    await home.collection(COLLECTION).delete(old.grant.id)
    person = Person("no")
    await verbs.job_grant(home, {"bundle": of(STRANGER).encoded}, person)
    assert "HAD ANOTHER KEY BEFORE" in "\n".join(person.shown[-1]["job"]["words"])
    new = await grant(home, of(STRANGER), 2)
    assert new.pauses
    with pytest.raises(BudgetSpent, match=f"provider:{SIGNING.public.hex()}"):
        await debit(home, new, 11)
    await home.collection(COLLECTION).put(dict(record), id=old.grant.id)
    assert (await load_grant(home, old.grant.id)).pauses
    signed = await grant(home, of(THIRD, NEXT, version=2, domain="other.example"), 3)
    assert not signed.pauses
    with pytest.raises(BudgetSpent, match=f"provider:{SIGNING.public.hex()}"):
        await debit(home, signed, 11)


async def test_an_unsigned_key_under_a_new_name_finds_the_collections(home: chez.Home) -> None:
    """Five keys under five names get of a collection together what one may, and not five times that."""
    for number in range(4):
        await debit(home, await grant(home, of(SigningKey.from_seed(bytes([30 + number]) * 32),
                                               domain=f"n{number}.example"), number + 1), 1000)
    fresh = await grant(home, of(SigningKey.from_seed(bytes(32)), domain="n5.example"), 9)
    assert not fresh.pauses
    with pytest.raises(BudgetSpent, match="collection:readings"):
        await debit(home, fresh, 1)


def test_a_chain_of_keys_is_signed_link_by_link() -> None:
    """A link that another key signed, was moved, turned round or made a circle is refused with the whole bundle."""
    assert len(of(THIRD, SIGNING, NEXT).manifest.provider.formerly) == 2
    good = succeed(SIGNING, NEXT.public)
    for wrong in (
        [msgspec.structs.replace(good, signature=succeed(STRANGER, NEXT.public).signature)],
        [msgspec.structs.replace(good, key=STRANGER.public.hex())],
        [succeed(SIGNING, THIRD.public)],
        [succeed(NEXT, SIGNING.public), succeed(SIGNING, NEXT.public)],
    ):
        words = ", ".join(f'{{ key = "{one.key}", signature = "{one.signature}" }}' for one in wrong)
        text = manifest_text(signing=NEXT).replace(b"\ninbox = ", f"\nformerly = [{words}]\ninbox = ".encode())
        with pytest.raises(BundleForged):
            build_bundle(text, MEAN, "python", NEXT)
    with pytest.raises(ManifestInvalid, match="formerly"):
        build_bundle(manifest_text().replace(b"\ninbox = ", b'\nformerly = [{ key = "x" }]\ninbox = '), MEAN, "python",
                     SIGNING)


@pytest.mark.parametrize(("name", "domain", "same"), [
    ("\u00c9nergie Conseil", "x.example", True), ("e\u0301NERGIE conseil", "x.example", True),
    (" \u00c9nergie  Conseil ", "x.example", True), ("\u00c9nergie \uff23onseil", "x.example", True),
    ("Other", "example.org.", True), ("Other", ".example.org", True),
    ("\u00c9nergie\ufe0f Conseil", "x.example", True), ("\u00c9ner\u3164gie Conseil\u034f", "x.example", True),
    ("E\ufe0e\u0301nergieConseil", "x.example", True), ("\u00c9nergie\u2800Conse1l", "x.example", False),
    ("\u00c9nergie ConseiI", "x.example", True),
    ("\u00c9nergi\u0435 Conseil", "x.example", False), ("\u00c9nergie Conseils", "example.com", False),
])  # fmt: skip
def test_a_name_is_compared_as_it_looks(name: str, domain: str, same: bool) -> None:
    """Another form, case or spacing of a name, what is not seen in it, I for l, or a dot at a domain's end, is the
    same; another letter is not, nor one of another script that looks like it (a residual)."""
    def named(key: SigningKey, name: str, domain: str) -> Bundle:
        text = manifest_text(signing=key).decode().replace("Example Energy Advice", name)
        return build_bundle(text.replace('"example.org"', f'"{domain}"').encode(), MEAN, "python", key)

    known: list[Any] = [_Given(named(SIGNING, "\u00c9nergie Conseil", "example.org"))]
    found = identify(named(STRANGER, name, domain), known)
    assert bool(found.foreign) is same and (SIGNING.public.hex() in found.accounts) is same


KEYS = [SigningKey.from_seed(bytes([50 + number]) * 32) for number in range(3)]
CHAINS = st.lists(st.lists(st.sampled_from(range(3)), min_size=1, max_size=3, unique=True), max_size=4)


@cache
def chained(numbers: tuple[int, ...]) -> Bundle:
    """A bundle of the last of these keys, which succeeds the others."""
    return of(KEYS[numbers[-1]], *(KEYS[number] for number in numbers[:-1]))


@settings(max_examples=tries(40), deadline=None)
@given(CHAINS, st.randoms())
def test_who_a_provider_is_does_not_depend_on_the_order_of_grants(chains: list[list[int]], random: Any) -> None:
    """Whatever was granted in whatever order, the same keys are one provider; and each account that was ever debited
    for one of its name is debited again."""
    bundles = [chained(tuple(chain)) for chain in chains]
    grants: list[Any] = [_Given(one) for one in bundles]
    asked = of(KEYS[0])
    found = identify(asked, grants)
    assert len(set(found.accounts)) == len(found.accounts), "a run would be debited twice"
    for number, one in enumerate(grants):  # all of these go by one name
        assert set(identify(one.bundle, grants[:number]).accounts) <= set(found.accounts)
    random.shuffle(grants)
    assert identify(asked, grants) == found


class _Given:
    """What `identify` looks at of a grant."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle


async def test_what_a_run_takes_is_asked_for_whatever_became_of_records(home: chez.Home) -> None:
    """A grant beside a namesake's is debited from both, and asking for its runs asks for both, also when the record of
    the namesake's grant is gone: the receipt says so."""
    await grant(home, of(SIGNING))
    await grant(home, of(STRANGER), 2)
    await home.collection(COLLECTION).purge("01" * 16)
    asked = await verbs.VERBS["job-allowance-ask"](home, {"what": "02"}, Person(""))
    assert {f"provider:{key.public.hex()}" for key in (SIGNING, STRANGER)} <= asked["asked"].keys()


def test_a_key_file_is_rotated(tmp_path: Path) -> None:
    """The new file has another signing key, the rest as it was, and a card whose bundles open; after eight no more."""
    seeds = [bytes([number]).hex() * 32 for number in range(1, 5)]
    keys = ProviderKeys(name="A", contact="a@example.org", domain="example.org", relay="wss://r", signing_seed=seeds[0],
                        sealing_seed=seeds[1], inbox_owner_seed=seeds[2], inbox_writer_seed=seeds[3])
    once = keys.rotated(bytes([9]) * 32)
    save_keys(tmp_path / "keys", once)
    assert load_keys(tmp_path / "keys") == once
    assert (once.card.sealing_key, once.card.inbox) == (keys.card.sealing_key, keys.card.inbox)
    twice = once.rotated(bytes([10]) * 32)
    head, reads = manifest_text().split(b"[provider]")[0], manifest_text().split(b"[[reads]]")[1]
    text = head + twice.card_text + b"\n[[reads]]" + reads
    bundle = open_bundle(build_bundle(text, MEAN, "python", twice.signing).encoded)
    assert [one.key for one in bundle.manifest.provider.formerly] == [keys.card.signing_key, once.card.signing_key]
    with pytest.raises(InvalidValue):
        twice.rotated(bytes([10]) * 32)
    for number in range(MAX_FORMERLY - 2):
        twice = twice.rotated(bytes([60 + number]) * 32)
    with pytest.raises(InvalidValue, match="at most 8"):
        twice.rotated(bytes([80]) * 32)
    command = ["keys", "rotate", "--key", str(tmp_path / "keys"), "--out", str(tmp_path / "new"), "--json"]
    done = CliRunner().invoke(cli, command)
    card = json.loads(done.stdout)
    assert card["signing_key"] == load_keys(tmp_path / "new").card.signing_key != once.card.signing_key
    assert [one["key"] for one in card["formerly"]] == [keys.card.signing_key, once.card.signing_key]
    assert CliRunner().invoke(cli, command).exit_code != 0, "a key file is never overwritten"
