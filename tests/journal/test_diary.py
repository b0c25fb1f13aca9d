"""The journal reads like a diary: each kind of receipt that the source writes has its sentence."""

import ast
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chez.agent.diary import SENTENCES, Names, sentence
from chez_sandbox.consent.diary import SENTENCES as OF_JOBS
from tests.journal.kinds import Unreadable, read, sites

TRIP, PHONE, HASH = "11" * 32, "22" * 32, "ab" * 32
NAMES = Names({TRIP: "Trip"}, {PHONE: "phone"})
JOB = {"grant": HASH, "sequence": 3, "job": "org.sums", "version": 2, "provider": HASH, "provider_name": "Sums Ltd"}

SHARE = {"giver": HASH, "receiver": PHONE, "number": 1, "account": "collection:readings",
         "amount": 12500, "unit": "bits"}

EXAMPLES: list[tuple[str, dict[str, Any], str]] = [
    ("allowance-asked", {"amounts": {"collection:readings": 12500, "epsilon:collection:readings": 1000}},
     ("You asked your other devices for 12.5 bits of collection:readings, 1 epsilon of "
     "epsilon:collection:readings.")),
    ("allowance-ceiling", {"account": "runs:provider:ab", "amount": 1000, "before": 400_000},
     "You let runs:provider:ab have 1 run over all your devices; it had 400 runs."),
    ("allowance-given", SHARE,
     "You gave 12.5 bits of collection:readings to device 'phone': this one has so much less."),
    ("allowance-received", SHARE, "This device was given 12.5 bits of collection:readings by device abababababab."),
    ("allowance-reclaimed", {"device": PHONE, "name": "phone", "first": True, "amounts": {"collection:readings": 500}},
     ("You took over what device 'phone' held: 0.5 bits of collection:readings, all that it never spent or gave of. "
     "What it spends all the same is told besides.")),
    ("allowance-refused", {**SHARE, "share": HASH, "why": "this share of allowance is not signed by its giver"},
     ("A share of 12.5 bits of collection:readings, said to be of device abababababab, was not counted: this share of "
     "allowance is not signed by its giver.")),
    ("allowance-yielded",
     {"device": PHONE, "name": "phone", "by": HASH, "first": True, "amounts": {"collection:readings": 500}},
     ("This device let go of what device 'phone' held (0.5 bits of collection:readings, all that it never spent or "
      "gave of): device abababababab had taken it over as well.")),
    ("backup", {"to": "/b", "bytes": 1234, "sha256": HASH, "verified": True},
     "You made a backup and tried it: '/b', 1,234 bytes."),
    ("contact-added", {"person": HASH, "name": "Berta"}, "You added the contact 'Berta'."),
    ("contact-changed", {"person": HASH, "name": "Berta"},
     "The contact 'Berta' has a newer card, or another name."),
    ("contact-doubted", {"person": HASH, "name": "Berta"},
     "You took back that you compared safety words with 'Berta'."),
    ("contact-removed", {"person": HASH, "name": "Berta"}, "You forgot the contact 'Berta'."),
    ("contact-verified", {"person": HASH, "name": "Berta"},
     "You compared safety words with 'Berta': they were the same."),
    ("delivered", {"grant": HASH, "sequence": 3},
     "The message of run 3 by grant abababababab was delivered to its provider."),
    ("deposit-address-allowed", {"address": HASH, "label": "Insurer", "organisation": "Insurer SA",
                                 "words": "one two three four five six"},
     "You said that the deposit address 'Insurer' is for 'Insurer SA', whose words are: one two three four five six."),
    ("deposit-address-contested", {"address": HASH, "label": "Insurer", "organisation": "Insurer SA"},
     ("Two keys claim to go on as 'Insurer SA', at your deposit address 'Insurer', and its own signed both: nothing is "
      "taken there until you say which.")),
    ("deposit-address-made", {"address": HASH, "label": "Insurer", "collections": ["contracts", "claims"],
                              "organisation": "Insurer SA"},
     "You made the deposit address 'Insurer', for 'Insurer SA': it takes contracts, claims."),
    ("deposit-address-made", {"address": HASH, "label": "Insurer", "collections": ["contracts"], "organisation": ""},
     "You made the deposit address 'Insurer', for nobody yet: it takes contracts."),
    ("deposit-address-revoked", {"address": HASH, "label": "Insurer"},
     "You revoked the deposit address 'Insurer': nothing is taken there any more."),
    ("deposit-address-succeeded", {"address": HASH, "label": "Insurer", "organisation": "Insurer SA",
                                   "name": "Insurer SE", "words": "one two three four five six"},
     ("'Insurer SA' has a new key, which the former one signed: your deposit address 'Insurer' is for 'Insurer SE' "
      "now, whose words are: one two three four five six.")),
    ("deposit-dropped", {"address": HASH, "label": "Insurer", "count": 2},
     ("At the deposit address 'Insurer' 2 messages came that the organisation did not sign for it, or signed twice "
      "under one number: nothing of it was taken.")),
    ("deposit-refused", {"address": HASH, "label": "Insurer", "organisation": "Insurer SA", "why": "too-large"},
     ("A message of 'Insurer SA' ('Insurer') was not taken: it has more than the address takes in a day.")),
    ("deposit-taken", {"address": HASH, "label": "Insurer", "organisation": "Insurer SA", "added": 1200, "updated": 3,
                       "unchanged": 0, "kept": 1, "purged": 0, "refused": 2},
     "'Insurer SA' left records for you ('Insurer'): 1,200 added, 3 updated, 1 kept as they were, 2 refused."),
    ("device-added", {"name": "phone", "device": PHONE}, "You let in 'phone' as a device of yours."),
    ("device-removed", {"name": "phone", "device": PHONE}, "You removed device 'phone' from all your spaces."),
    ("device-renamed", {"name": "pocket", "former": "phone", "device": PHONE},
     "You renamed device 'phone' to 'pocket'."),
    ("device-renewed", {"former": PHONE, "why": "restored", "receipts": 2, "head": HASH},
     ("This home became a new device, for it was restored; 2 receipts of device 222222222222, which it was, stay: "
     "chez journal --former.")),
    ("checkpoint-made", {"entries": 1200, "bytes": 4096, "written": 1024, "space": TRIP},
     ("You made a checkpoint of 'Trip': 1,200 entries in 4,096 bytes, of which 1,024 are new.")),
    ("checkpoint-refused", {"device": PHONE, "name": "phone", "why": "a checkpoint leaves a change out", "space": TRIP},
     ("A checkpoint of 'Trip' by device 'phone' was refused, and changed nothing: a checkpoint leaves a change out.")),
    ("chunks-released", {"url": "wss://r", "space": TRIP},
     "You had the relay at wss://r let go of what 'Trip' does not need there any more."),
    ("draw", {"grant": HASH, "sequence": 3, "job": "org.sums", "windows": {"n": ["a", "b"]}, "numbers": {"n": [1]}},
     "Noise was drawn for n of 'org.sums', and kept: these values stay the same for the same days."),
    ("drawn-before", {"grant": HASH, "sequence": 4, "job": "org.sums", "keys": ["m", "n"]},
     "Run 4 of 'org.sums' drew nothing anew: what was drawn for m, n over the same days stands."),
    ("entries-dropped", {"url": "wss://r", "space": TRIP},
     ("You had the relay at wss://r drop entries of 'Trip' that a checkpoint stands for.")),
    ("entries-missing", {"url": "wss://r", "from": 7},
     ("The relay at wss://r passed over entries of your private space, from number 7 on, and nobody who may vouch for "
     "that did: what is here stays (chez sync --reseed).")),
    ("entries-beyond-removal", {"device": PHONE, "name": "", "from": 7, "space": TRIP},
     ("In 'Trip' device 'phone' wrote beyond what its removal accepted, from entry 7 on: that counts for nothing "
     "(chez space audit).")),
    ("entry-picked", {"device": HASH, "name": "", "number": 5, "entry": HASH, "space": HASH},
     ("You picked entry abababababab of device abababababab in a space that is not here any more (abababababab), of "
     "those under number 5.")),
    ("epoch-started", {"number": 2}, "You started epoch 2 in your private space: what is written since has new keys."),
    ("epsilon", {**JOB, "epsilon": 0.5, "windows": {"n": ["a", "b"]}},
     "Run 3 of 'org.sums' has values that are noised: an epsilon of 0.5 was debited."),
    ("equivocation", {"device": PHONE, "name": "tablet", "from": 5},
     ("In your private space device 'tablet' wrote different entries under number 5: from there on nothing of it "
     "counts, until an owner picks one (chez space audit).")),
    ("export", {"to": "/x", "history": True, "spaces": ["private", "Trip"]},
     "You began to export 2 spaces with its history, as plain text, into '/x'."),
    ("export-complete", {"to": "/x", "records": 1, "changes": 3, "manifest": HASH, "attachments": 0},
     "The export into '/x' was complete: 1 record, 0 attachments."),
    ("export-failed", {"to": "/x"}, "The export into '/x' failed: it is not there."),
    ("export-removed", {"folder": "/x.part"}, "What an export that was cut off had left in '/x.part' was removed."),
    ("grant", {**JOB, "purpose": "p", "bundle": HASH, "code": HASH, "until": "2027-01-01", "runs": 4, "bits": 12.5,
               "review": "each", "hash": HASH, "accounts": [HASH]},
     ("You granted 'Sums Ltd' the job 'org.sums', version 2: at most 4 runs and 12.5 bits, until 2027-01-01 "
     "(grant abababababab).")),
    ("grant-refused", {"job": "org.sums", "version": 2, "name": "Sums", "provider": HASH, "provider_name": "Sums Ltd",
                       "purpose": "p", "bundle": HASH}, "You refused 'Sums Ltd' the job 'org.sums', version 2."),
    ("home-created", {"name": "laptop"}, "You made this home, as device 'laptop'."),
    ("home-created-again", {"name": "laptop"}, "You made this home of 24 words that you had, as device 'laptop'."),
    ("home-joined", {"name": "phone"}, "This home joined your others, as device 'phone'."),
    ("home-recovered", {"name": "new", "relay": "wss://r"},
     "This home was recovered from your 24 words and wss://r, as device 'new'."),
    ("home-taken-back", {"relay": "wss://r"}, "You took your spaces back by your 24 words, at wss://r."),
    ("import", {"connector": "csv", "version": 1, "file": "a.csv", "sha256": HASH, "added": 1200, "updated": 0,
                "unchanged": 0, "purged": 0, "rejected": 3}, "You imported 'a.csv' (csv): 1,200 added, 3 rejected."),
    ("invitation-asked", {"name": "Trip", "space": TRIP, "relay": "wss://r"},
     "You asked at wss://r to be let into 'Trip'."),
    ("invitation-made", {"invitation": HASH, "role": "writer", "uses": 3, "space": TRIP},
     "You made invitation abababababab to 'Trip': for 3 persons, as writer."),
    ("invitation-refused", {"invitation": HASH, "reason": "no request", "space": TRIP},
     "Somebody was not let into 'Trip' by invitation abababababab: what came was no request."),
    ("invitation-refused", {"invitation": HASH, "name": "carl", "person": HASH, "reason": "used", "space": TRIP},
     "'carl' was not let into 'Trip' by invitation abababababab: it was used up."),
    ("invitation-refused", {"name": "carl", "reason": "the person said no", "space": TRIP},
     "'carl' was not let into 'Trip': you said no."),
    ("invitation-refused", {"reason": "wrong code", "space": TRIP},
     "Somebody tried a wrong code for 'Trip', which was burnt."),
    ("invitation-revoked", {"invitation": HASH, "space": TRIP}, "You revoked invitation abababababab to 'Trip'."),
    ("key-file-changed", {"passes": 3, "memory": 256 << 20},
     ("This home opened with a key file that it had not seen: its passphrase was changed in a copy, or an older key "
     "file was put in place; each guess costs 256 MiB.")),
    ("keyring-added", {"keyring": "Secret Service"}, "You let the system's keyring (Secret Service) open this home."),
    ("keyring-file-changed", {},
     "The system's keyring may open this home: it has a file for that, of which the journal had not told."),
    ("keyring-removed", {}, "The keyring opens this home no longer."),
    ("member-added", {"person": HASH, "name": "berta", "role": "writer", "space": TRIP},
     "You let 'berta' into 'Trip', as writer."),
    ("member-added", {"person": HASH, "name": "berta", "role": "reader", "invitation": HASH, "space": TRIP},
     "'berta' came into 'Trip' as reader, by invitation abababababab."),
    ("member-removed", {"person": HASH, "name": "berta", "space": TRIP}, "You took 'berta' out of 'Trip'."),
    ("member-role", {"person": HASH, "name": "berta", "role": "owner", "space": TRIP},
     "You gave 'berta' another role in 'Trip': owner."),
    ("offer-published", {"space": TRIP, "provider": HASH, "number": 3, "job": "sums", "version": 2, "bundle": HASH,
                         "line": HASH},
     "You published the job 'sums', version 2, as line 3 of a catalogue."),
    ("data-key-chosen", {"space": TRIP, "name": "Open data", "key": HASH, "words": "one two three four five six"},
     "You said that 'Open data' is published by the key whose words are: one two three four five six."),
    ("data-key-succeeded", {"space": TRIP, "name": "Open data", "key": HASH, "words": "one two three four five six"},
     ("The publisher of 'Open data' has a new key, which the former one signed: its words are one two three four five "
      "six.")),
    ("data-published", {"space": TRIP, "dataset": "velov", "publisher": HASH, "number": 3, "rows": 342,
                        "edition": HASH},
     "You published version 3 of the open data 'velov': 342 rows in all."),
    ("pairing-refused", {"reason": "wrong code"}, "Somebody tried a wrong pairing code, which was burnt."),
    ("pairing-refused", {"reason": "the person said no", "name": "x"}, "You did not let in 'x' as a device of yours."),
    ("passphrase-changed", {"passes": 3, "memory": 256 << 20},
     "You changed the passphrase; each guess costs 256 MiB."),
    ("pause", {"grant": HASH, "job": "org.sums", "provider": HASH, "pause": HASH},
     "You paused grant abababababab of the job 'org.sums'."),
    ("pause", {"grant": HASH, "job": "org.sums", "provider": HASH, "pause": HASH, "from": "record"},
     ("This device found grant abababababab of the job 'org.sums' paused elsewhere, and keeps to that till you resume "
      "it.")),
    ("pause", {"grant": PHONE, "cause": HASH, "pause": HASH},
     ("Grant 222222222222 was suspended: grant abababababab is of another key under the provider's name, which the "
     "key before did not sign.")),
    ("public-space-created", {"name": "News", "space": TRIP}, "You made the public space 'News'."),
    ("purge", {"collection": "notes", "id": "a"},
     "You purged the record 'a' of 'notes' in your private space: its content is erased."),
    ("refusal", {**JOB, "outcome": "none", "result": None, "reason": "declined"},
     "Run 3 of 'org.sums' tells 'Sums Ltd' nothing but \"none\": you said no."),
    ("release", {**JOB, "outcome": "result", "result": '{"sum":1}', "reason": ""},
     "You released the result of run 3 of 'org.sums' to 'Sums Ltd': {\"sum\":1}"),
    ("relay-changed", {"url": "wss://r", "what": "added", "here": False},
     "You said that everything is kept at wss://r too."),
    ("relay-changed", {"url": "wss://r", "what": "removed", "here": True},
     "You said that nothing is kept at wss://r any more, on this device alone."),
    ("relay-changed", {"url": "wss://r", "what": "set", "device": PHONE},
     "Device 'phone' said that wss://r is the relay that your devices are known by: this one follows."),
    ("relay-changed", {"url": "wss://r", "what": "pinned", "keys": 2},
     "You said that wss://r is dialled only if its key is one of 2."),
    ("relay-changed", {"url": "wss://r", "what": "pinned", "keys": 0, "device": PHONE},
     "Device 'phone' said that wss://r is dialled with any key that is trusted: this one follows."),
    ("repaired", {"findings": 1, "records": 2, "entries": 0, "new device": True},
     "You had this home mended: 1 finding, 2 records made again, 0 damaged entries let go. It is a new device now."),
    ("repaired", {"findings": 2, "records": 1, "entries": 1, "new device": True, "journal": "not verified"},
     ("You had this home mended: 2 findings, 1 record made again, 1 damaged entry let go. It is a new device now. The "
      "receipts before this one did not verify.")),
    ("resumption", {"grant": HASH, "job": "org.sums", "provider": HASH, "pauses": [HASH]},
     "You let grant abababababab of the job 'org.sums' run again."),
    ("revocation", {"grant": HASH, "job": "org.sums", "provider": HASH},
     "You revoked grant abababababab of the job 'org.sums'."),
    ("revocation", {"grant": HASH, "job": "org.sums", "provider": HASH, "from": "record"},
     "This device found grant abababababab of the job 'org.sums' revoked elsewhere, and keeps to it."),
    ("run", {**JOB, "bits": 2.0, "rows": {"notes": 1}},
     "Run 3 of the job 'org.sums' was given 1 row; 2 bits were debited, whatever comes of it."),
    ("refusal", {**JOB, "outcome": "none", "result": None, "reason": "withdrawn"},
     "Run 3 of 'org.sums' tells 'Sums Ltd' nothing but \"none\": you withdrew the result before it left."),
    ("sending", {"grant": HASH, "sequence": 3},
     "The message of run 3 by grant abababababab begins to be sent: its time has come."),
    ("space-archived", {"name": "Trip", "space": TRIP}, "You put 'Trip' away: nobody writes in it."),
    ("space-created", {"name": "Trip", "space": TRIP}, "You made the space 'Trip'."),
    ("space-deleted", {"name": "Trip", "space": TRIP}, "You deleted 'Trip', with all that was in it."),
    ("space-followed", {"name": "News", "space": TRIP, "relay": "wss://r"},
     "You follow the public space 'News', at wss://r."),
    ("space-forgotten", {"name": "Trip", "space": TRIP}, "You erased 'Trip' on this device."),
    ("space-joined", {"name": "Trip", "space": TRIP, "relay": "wss://r"}, "You came into 'Trip', at wss://r."),
    ("space-left", {"name": "Trip", "space": TRIP}, "You left 'Trip'."),
    ("space-moved", {"name": "Trip", "relay": "wss://r", "space": TRIP},
     "You moved 'Trip' to another place, at wss://r: members need its new link."),
    ("space-renamed", {"name": "Rome", "former": "Trip", "space": TRIP}, "You renamed 'Trip' to 'Rome'."),
    ("space-taken-out", {"name": "Trip", "space": TRIP}, "You took 'Trip' out again: members write in it."),
]


def told(kind: str, body: dict[str, Any]) -> str:
    """What is shown of a receipt."""
    return sentence(kind, body, NAMES, lambda: OF_JOBS)


def test_every_kind_that_the_source_writes_has_a_sentence() -> None:
    """No receipt is written that nobody can read, and no sentence is kept of one that is written no more."""
    written = {site.kind for site in sites()}
    assert written == SENTENCES.keys() | OF_JOBS.keys() and not SENTENCES.keys() & OF_JOBS.keys()
    assert written == {kind for kind, _, _ in EXAMPLES}


@pytest.mark.parametrize(("kind", "body", "said"), EXAMPLES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_receipt_is_one_sentence(kind: str, body: dict[str, Any], said: str) -> None:
    """Each kind, in each of its forms, says what happened."""
    assert told(kind, body) == said and "\n" not in said


def test_the_examples_have_the_fields_that_are_written() -> None:
    """Of each place in the source that writes out a body, there is an example with those fields."""
    written = [site for site in sites() if site.keys is not None]
    assert len(written) > 50
    assert [site for site in written if not any(
        kind == site.kind and site.keys is not None and site.keys <= body.keys() for kind, body, _ in EXAMPLES)] == []


def test_the_page_tells_of_every_kind() -> None:
    """docs/journal.md has a row for each example, and no other."""
    page = (Path(__file__).parents[2] / "docs" / "journal.md").read_text(encoding="utf-8")
    rows = [row for row in page.splitlines() if row.startswith("| `")]
    assert rows == [f"| `{kind}` | {said} |" for kind, _, said in EXAMPLES]


def test_what_nobody_knows_is_shown_as_it_is() -> None:
    """A kind of a newer Chez or an app, and a known one with other fields, are shown with all that is in them."""
    assert told("app-did", {"n": 1}) == 'app-did: {"n":1}'
    assert told("space-renamed", {"n": 1}) == 'space-renamed: {"n":1}'
    assert told("invitation-refused", {"reason": "of tomorrow", "space": TRIP}).startswith("invitation-refused: {")


@given(st.sampled_from([*SENTENCES, *OF_JOBS]), st.dictionaries(
    st.sampled_from(["name", "device", "space", "from", "number", "role", "rows", "reason", "memory", "spaces"]),
    st.none() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=2)))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_body_breaks_the_diary(kind: str, body: dict[str, Any]) -> None:
    """Whatever stands in a receipt, something is shown of it."""
    assert told(kind, body)


@pytest.mark.parametrize("source", ["journal.record(db, made, {})", "await self._journal.append(str(x), {})",
                                    "transaction.receipt('a' if x else y, {})"])
def test_a_kind_that_can_not_be_read_in_the_source_is_refused(source: str) -> None:
    """The walk does not pass over what it doesn't understand."""
    with pytest.raises(Unreadable):
        read(Path("x.py"), ast.parse(f"async def f(self, db, x, y, made, transaction, journal):\n    {source}\n"))
