"""Consent records as JSON-LD: complete, in terms that exist, and verified by whoever has the file and PyNaCl."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import chez
from chez.crypto import Kdf
from chez_sandbox.consent import verbs
from chez_sandbox.consent.dpv import BASES, TERMS
from chez_sandbox.consent.export import EXPORT, canonical, export_consents
from chez_sandbox.consent.grants import revoke_grant
from chez_sandbox.consent.narrowing import read_narrowing
from chez_sandbox.manifest import Purpose
from chez_sandbox.runtime.host import Runtime
from tests.jobs.conftest import fill
from tests.jobs.test_flow import Person
from tests.jobs.test_grants import NOW, TODAY, bundle, grant, tamper
from tests.jobs.test_runs import run_once

PAGE = Path(__file__).parents[2] / "docs" / "consent.md"


@pytest.fixture(scope="module")
async def device(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[chez.Home]:
    """The home that `document` is of."""
    path = tmp_path_factory.mktemp("device") / "home"
    await chez.create(path, passphrase="correct horse", name="laptop", kdf=Kdf.minimum())
    async with chez.open(path, passphrase="correct horse") as home:
        await fill(home)
        yield home


@pytest.fixture
def document(exported: dict[str, Any]) -> dict[str, Any]:
    """An export that a test may change."""
    return deepcopy(exported)


@pytest.fixture(scope="module")
async def exported(device: chez.Home, runtime: Runtime) -> dict[str, Any]:
    """A grant that ran, one narrowed and revoked, one that ended, and a refusal; exported."""
    given = await grant(device, bundle())
    await run_once(device, given.grant.id, runtime)
    less = read_narrowing(given.bundle.manifest, ["readings.watts"], ["readings=30"])
    await grant(device, bundle(), 2, narrowing=less, review="hold", hold_hours=5, slots="day")
    await revoke_grant(device, "02" * 16)
    await grant(device, bundle(), 3, until=date(2026, 11, 1))
    await verbs.job_grant(device, {"bundle": bundle().encoded}, Person("no"))
    return await export_consents(device, NOW, TODAY)


def verify(document: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the program of docs/consent.md on the file, isolated: nothing of Chez is on its path."""
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    (folder / "export.jsonld").write_text(json.dumps(document), encoding="utf-8")
    (folder / "verify.py").write_text("import sys\nsys.modules['chez'] = None\n" + found[1], encoding="utf-8")
    return subprocess.run([sys.executable, "-I", "verify.py", "export.jsonld"], cwd=folder, capture_output=True,
                          text=True, timeout=250)  # fmt: skip


def words(value: Any) -> Iterator[str]:
    """Every name and text in a document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from words(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from words(inner)
    elif isinstance(value, str):
        yield value


async def test_an_export_is_verified_by_the_documented_program(document: dict[str, Any], tmp_path: Path) -> None:
    """The program of the page accepts the export, and names each grant with its state."""
    done = verify(document, tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines()[:-1]] == ["running", "revoked", "ended"]
    assert document["chez:proof"]["chez:device"] in done.stdout


def evidence(document: dict[str, Any]) -> dict[str, str]:
    """What was signed of the first grant."""
    found: dict[str, str] = document["@graph"][0]["chez:evidence"]
    return found


async def test_who_has_an_export_has_no_seed(home: chez.Home) -> None:
    """A grant's seed, from which its slots, turns and runs' random numbers follow, is nowhere in its export."""
    given = await grant(home, bundle(), seed=bytes(range(100, 132)))
    document = await export_consents(home, NOW, TODAY)
    body = base64.b64decode(evidence(document)["chez:grant"])
    assert body == given.grant.body and given.grant.seed_hash in body
    texts = [text.encode() for text in words(document)]
    decoded = [base64.b64decode(text) for text in texts if re.fullmatch(rb"([A-Za-z0-9+/]{4})*[A-Za-z0-9+/=]{4}", text)]
    shown = b" ".join([*texts, *decoded])
    assert given.grant.seed_hash in shown
    assert given.seed not in shown and given.seed.hex().encode() not in shown


FORGERIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a state": lambda document: document["@graph"][1].update({"chez:state": "running"}),
    "a departure left out": lambda document: document["@graph"].pop(),
    "another time": lambda document: document.update({"dct:created": "2020-01-01T00:00:00Z"}),
    "no proof of the device": lambda document: document["chez:proof"].update({"chez:device": "00" * 32}),
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_changed_export_is_refused(document: dict[str, Any], name: str, tmp_path: Path) -> None:
    """Whatever is changed, the device's signature over the file does not hold."""
    FORGERIES[name](document)
    assert verify(document, tmp_path).returncode != 0


@pytest.mark.parametrize("part", ["chez:grant", "chez:code", "chez:manifest", "chez:bundle", "chez:grantSignature",
                                  "chez:providerSignature"])  # fmt: skip
async def test_the_device_can_not_export_what_was_not_signed(
    document: dict[str, Any], device: chez.Home, part: str, tmp_path: Path
) -> None:
    """A file that the device signed anew, with another grant, code or signature in it, is refused all the same."""
    value = bytearray(base64.b64decode(evidence(document)[part]))
    value[len(value) // 2] ^= 1
    evidence(document)[part] = base64.b64encode(value).decode()
    proof = base64.b64encode(device.sign(EXPORT, canonical(document))).decode()
    document["chez:proof"]["chez:signature"] = proof
    assert verify(document, tmp_path).returncode != 0


def texts_that_name(value: Any, key: str = "") -> Iterator[str]:
    """Terms of the vocabulary that stand as texts, which say nothing to who reads the file as JSON-LD."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from texts_that_name(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_that_name(inner, key)
    elif isinstance(value, str) and value.startswith("dpv:") and key not in ("@id", "@type"):
        yield value


async def test_only_terms_that_exist_are_used(document: dict[str, Any]) -> None:
    """The dpv: names of an export are those of the list from the vocabulary, beside the manifest's purpose and basis;
    prefixes are declared, and every term that stands for something is a reference, not a text."""
    found = [word for word in words(document["@graph"]) if re.fullmatch(r"dpv:\w+", word)]
    assert {word.removeprefix("dpv:") for word in found} == TERMS | {"ServicePersonalisation", "Consent"}
    assert set(get_args(get_type_hints(Purpose)["lawful_basis"])) == {f"dpv:{name}" for name in BASES}
    prefixes = {key.split(":")[0] for key in words(document["@graph"]) if re.fullmatch(r"[a-z]+:[A-Za-z]+", key)}
    assert prefixes == document["@context"].keys() - {"@vocab"}
    assert not list(texts_that_name(document["@graph"]))


async def test_each_state_has_its_term(document: dict[str, Any]) -> None:
    """Given, withdrawn by the person, expired, refused; and a departure names its grant and its exact result."""
    states = [[one["@type"] for one in record["dpv:hasConsentStatus"]] for record in document["@graph"][:-1]]
    given = ["dpv:ConsentGiven", "dpv:ExplicitlyExpressedConsent"]
    assert states == [[given], [given, "dpv:ConsentWithdrawn"], [given, "dpv:ConsentExpired"], ["dpv:ConsentRefused"]]
    left = document["@graph"][-1]
    assert left["dct:isPartOf"]["@id"] == document["@graph"][0]["@id"] and '"watts"' in left["chez:result"]


async def test_a_withdrawal_has_the_time_that_the_journal_has(home: chez.Home) -> None:
    """When it was said on this device; of one that another device said, whose journal has it, the file has none."""
    for number in (1, 2):
        await grant(home, bundle(), number)
    await revoke_grant(home, "01" * 16)
    await tamper(home, "02" * 16, revoked=True)
    (receipt,) = await home.journal.receipts("revocation")
    exported = await export_consents(home, NOW, TODAY)
    last = {one["dct:identifier"]: one["dpv:hasConsentStatus"][-1] for one in exported["@graph"]}
    assert {one["@type"] for one in last.values()} == {"dpv:ConsentWithdrawn"}
    assert last["01" * 16]["dpv:isIndicatedAtTime"] == receipt.time
    assert "dpv:isIndicatedAtTime" not in last["02" * 16]


async def test_a_record_says_what_was_given_and_not_what_was_asked(document: dict[str, Any]) -> None:
    """What was taken away is not among the data; slots, hours of hold and epsilon are the grant's own."""
    whole, less = (record["dpv:hasProcess"]["dpv:hasPersonalData"][0]["chez:read"] for record in document["@graph"][:2])
    assert (whole["fields"], less["fields"]) == (["local", "watts"], ["local"])
    assert whole["window"].startswith("365 whole days") and less["window"].startswith("30 whole days")
    record = document["@graph"][1]
    assert "you leave out watts of readings: the job sees nothing there" in record["chez:narrowed"]
    assert (record["chez:slots"], record["chez:holdHours"], record["chez:epsilon"]) == ("day", 5, 0.0)


def expanded(value: Any, context: dict[str, str]) -> Any:
    """Expansion (JSON-LD 1.1, section 5) as far as an export needs it: names become IRIs, and what has none is lost."""
    if isinstance(value, list):
        return [expanded(inner, context) for inner in value if inner is not None]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, inner in value.items():
        prefix, colon, name = key.partition(":")
        vocabulary = context.get(prefix) if colon else context.get("@vocab")
        if inner is None or (vocabulary is None and not key.startswith("@")):
            continue
        found[key if key.startswith("@") else f"{vocabulary}{name if colon else key}"] = expanded(inner, context)
    return found


def size(value: Any) -> int:
    """How many keys and values there are."""
    if isinstance(value, dict):
        return sum(1 + size(inner) for inner in value.values())
    return sum(map(size, value)) if isinstance(value, list) else 1


async def test_nothing_is_lost_on_expansion(document: dict[str, Any]) -> None:
    """Read as JSON-LD, each key has an IRI and no value is dropped; without the vocabulary some would be."""
    context = document.pop("@context")
    assert size(expanded(document, context)) == size(document)
    assert size(expanded(document, {**context, "@vocab": None})) < size(document)
    terms = [word for word in words(expanded(document, context)) if word.endswith("#collection")]
    assert terms[0] == "urn:chez:consent:1#collection"


def parts(record: dict[str, Any]) -> dict[str, Any]:
    """The parts of ISO/IEC TS 27560:2023 that a record has, where the guide of the vocabulary's group puts each."""
    process, event = record["dpv:hasProcess"], record["dpv:hasConsentStatus"][0]
    party, purpose = process["dpv:hasDataController"], process["dpv:hasPurpose"]
    state, kind = event["@type"]
    return {
        "schema_version": record["dct:conformsTo"], "language": record["dpv:hasNotice"]["dct:language"],
        "record_id": record["dct:identifier"], "pii_principal_id": record["dpv:hasDataSubject"]["@id"],
        "privacy_notice": record["dpv:hasNotice"]["@type"] == "dpv:ConsentNotice",
        "purposes": purpose["dct:description"], "purpose_type": purpose["skos:broader"]["@id"],
        "service": process["dpv:hasService"]["dct:title"], "withdrawal_method": process["dpv:hasConsentControl"],
        "processing_locations": process["dpv:hasProcessingCondition"]["dpv:hasLocation"],
        "lawful_basis": process["dpv:hasLegalBasis"], "pii_information": process["dpv:hasPersonalData"],
        "retention_period": process["dpv:hasStorageCondition"]["dpv:hasDuration"],
        "recipient_third_parties": process["dpv:hasRecipient"], "pii_controllers": party,
        "party_id": party["dpv:hasIdentifier"], "party_name": party["dpv:hasName"], "party_role": party["@type"],
        "party_contact": party["dpv:hasContact"], "event_state": state, "event_type": kind,
        "event_time": event["dpv:isIndicatedAtTime"], "validity_duration": event["dpv:hasDuration"],
        "entity_id": event["dpv:isIndicatedBy"]["@id"],
    }  # fmt: skip


async def test_the_parts_of_the_standard_are_there_by_name(document: dict[str, Any]) -> None:
    """Each grant's record has each part that the page says it has, and the page names no other."""
    table = PAGE.read_text(encoding="utf-8").partition("| part | where |\n|---|---|\n")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    for record in document["@graph"][:3]:
        assert all(parts(record).values()) and parts(record).keys() == named
    assert parts(document["@graph"][0])["retention_period"] == "P30D"
    until = parts(document["@graph"][0])["validity_duration"]
    assert until["rdf:value"] == {"@type": "xsd:date", "@value": "2026-12-31"}
    assert document["@context"]["@vocab"] == "urn:chez:consent:1#"
