"""deposit-address, deposits, and `chez-deposit`: what people type, on both sides of a relay."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Chez

POLICY = {"collection": "policies", "identity": ["number"], "fields": {"number": "text", "premium": "decimal"}}


def organisation(folder: Path, *words: str, code: int = 0, stdin: str = "") -> str:
    """Run `chez-deposit` with the key of a folder; its standard output, or error when there is none."""
    from chez_deposit.cli import main

    key = () if words[:2] == ("keys", "new") or words[0] == "check" else ("--key", str(folder / "insurer.key"))
    out, err, before = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.StringIO(stdin)
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main([*words, *key])
    finally:
        sys.stdin = before
    assert ended.value.code == code, out.getvalue() + err.getvalue()
    return out.getvalue() if code == 0 or out.getvalue() else err.getvalue()


def told(folder: Path, *words: str, **options: Any) -> dict[str, Any]:
    """The same with --json: what it says."""
    found: dict[str, Any] = json.loads(organisation(folder, *words, "--json", **options))
    return found


def policies(folder: Path, *numbers: str, name: str = "batch") -> str:
    """A file with policies of the customer C1."""
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps({"customer": "C1", "collection": "policies", "record": {
        "number": number, "premium": "9.90"}}) + "\n" for number in numbers))
    return str(file)


def began(folder: Path, relay: str) -> None:
    """Keys of an organisation in a folder, with its card beside them, and the description of a type."""
    organisation(folder, "keys", "new", "--relay", relay, "--out", str(folder / "insurer.key"), "--name", "Insurer SA",
                 "--contact", "dpo@insurer.example", "--domain", "insurer.example")
    (folder / "card").write_text(organisation(folder, "card"))
    (folder / "type.json").write_text(json.dumps(POLICY))


@pytest.mark.slow
def test_a_person_and_an_organisation_at_the_command_line(chez: Chez, relay: str, tmp_path: Path) -> None:
    """An address for the organisation's card, a batch with one line that is none, what came and from whom; after
    revoking the next batch stays queued."""
    began(tmp_path, relay)
    chez.run("relay", relay)
    address = chez.run("deposit-address", "new", "Insurer", "--describe", str(tmp_path / "type.json"), "--for",
                       str(tmp_path / "card"), "--acks", "soon").stdout
    chez.run("sync")
    words = chez.json("deposit-address", "show", "Insurer")["words"]
    assert told(tmp_path, "check", "-", stdin=address)["words"] == words
    assert "takes policies: number (text)" in organisation(tmp_path, "check", address.strip())
    assert organisation(tmp_path, "customer", "add", "C1", "-", stdin=address) == "C1: policies\n"
    batch = policies(tmp_path, "1", "2", "")
    sent = told(tmp_path, "send", batch, "--batch", "january", "--relays", relay)
    assert (sent["records"], sent["rejected"], sent["sent"], sent["queued"]) == (2, 1, 1, 0)
    assert "line 3: its field 'number' is empty" in organisation(tmp_path, "rejects", "january")
    assert told(tmp_path, "send", batch, "--batch", "january")["sent"] == 0
    assert "deposits: 1 taken, 2 added" in chez.run("sync").stdout
    assert "9.90" in chez.run("ls", "policies").stdout
    (came,) = chez.lines("deposits", "Insurer")
    assert (came["organisation"], came["added"], came["outcome"]) == ("Insurer SA", 2, "taken")
    assert "Insurer SA" in chez.run("deposits").stdout
    assert "'Insurer SA' left records for you ('Insurer'): 2 added." in chez.run("journal").stdout
    assert told(tmp_path, "acks")["taken"] == 1 and told(tmp_path, "status")["taken"] == 1
    former = told(tmp_path, "card")["words"]
    organisation(tmp_path, "keys", "succeed", "--keep", str(tmp_path / "insurer.key.1"))
    assert "exists" in organisation(tmp_path, "keys", "succeed", "--keep", str(tmp_path / "insurer.key.1"), code=1)
    assert (now := told(tmp_path, "card")["words"]) != former
    assert told(tmp_path, "send", policies(tmp_path, "1", "3", name="february"))["sent"] == 1
    assert "deposits: 1 taken, 1 added, 1 unchanged" in chez.run("sync").stdout
    assert (f"your deposit address 'Insurer' is for 'Insurer SA' now, whose words are: {now}."
            in chez.run("journal").stdout)
    assert told(tmp_path, "acks")["taken"] == 1 and told(tmp_path, "status")["taken"] == 2
    assert "any more" in chez.run("deposit-address", "revoke", "Insurer").stdout
    assert chez.lines("deposit-address", "list")[0]["state"] == "revoked"
    chez.run("deposit-address", "list")


@pytest.mark.slow
def test_whose_an_address_is_is_said_by_words(chez: Chez, relay: str, tmp_path: Path) -> None:
    """Without a card what comes waits; `show` names who asks, with words; typed, they let it in."""
    began(tmp_path, relay)
    chez.run("relay", relay)
    made = chez.run("deposit-address", "new", "Insurer", "--describe", str(tmp_path / "type.json"))
    assert "for nobody yet" in made.stderr
    chez.run("sync")
    organisation(tmp_path, "customer", "add", "C1", made.stdout.strip())
    assert told(tmp_path, "customer", "list")["customer"] == "C1"
    file = tmp_path / "addresses"
    file.write_text(json.dumps({"customer": "C1", "address": made.stdout.strip()}) + "\n{}\n")
    assert told(tmp_path, "customer", "import", str(file), code=1)["kept"] == 1
    organisation(tmp_path, "send", policies(tmp_path, "1"))
    assert "more lies at the deposit address 'Insurer'" in chez.run("sync").stderr
    shown = chez.run("deposit-address", "show", "Insurer").stdout
    words = told(tmp_path, "card")["words"]
    assert "asks         Insurer SA, insurer.example, dpo@insurer.example" in shown and words in shown
    assert chez.error("deposit-address", "allow", "Insurer", *["abandon"] * 6)["code"] == "NotFound"
    assert "is for Insurer SA" in chez.run("deposit-address", "allow", "Insurer", *words.split()).stdout
    assert "1 added" in chez.run("sync").stdout
    renewed = chez.run("deposit-address", "renew", "Insurer")
    assert "It is for Insurer SA" in renewed.stderr and renewed.stdout.strip() != made.stdout.strip()


def test_what_is_asked_wrongly_is_told(chez: Chez, tmp_path: Path) -> None:
    """No relay, no such address, no type, files that are none: typed errors with what to do, on both sides."""
    (tmp_path / "type.json").write_text("{}")
    assert chez.error("deposit-address", "new", "x", code=2)["code"] == "Usage"
    assert chez.error("deposit-address", "new", "x", "--type", "accounts")["code"] == "NotFound"  # no relay
    assert chez.error("deposit-address", "new", "x", "--type", "nothing")["code"] == "NotFound"
    for wrong, code in ((("--describe", str(tmp_path / "type.json")), "InvalidValue"),
                        (("--describe", str(tmp_path / "none")), "NotFound"),
                        (("--type", "accounts", "--for", "chez-card:x"), "InvalidValue")):
        assert chez.error("deposit-address", "new", "x", *wrong)["code"] == code
    for verb in ("show", "revoke", "renew"):
        assert chez.error("deposit-address", verb, "x")["code"] == "NotFound"
    assert chez.error("deposits", "x")["code"] == "NotFound" and chez.lines("deposits") == []
    assert "no key file" in organisation(tmp_path, "status", code=1)
    assert "not a deposit address" in organisation(tmp_path, "check", "hello", code=1)
    began(tmp_path, "ws://127.0.0.1:1")
    assert "exists" in organisation(tmp_path, "keys", "new", "--relay", "ws://127.0.0.1:1", "--out", str(
        tmp_path / "insurer.key"), "--name", "x", "--contact", "x", "--domain", "x", code=1)
    assert "no batch 'may'" in organisation(tmp_path, "rejects", "may", code=1)
    assert "no file" in organisation(tmp_path, "send", str(tmp_path / "none"), code=1)
    assert "0 messages queued" in organisation(tmp_path, "again")
    assert "era" in organisation(tmp_path, "renew")
