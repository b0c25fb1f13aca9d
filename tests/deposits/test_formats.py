"""Cards, addresses, messages and acknowledgements, byte by byte; no home, no relay."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.crypto import SEALED_BOX_OVERHEAD, SIGNATURE_BYTES, seal_to
from chez.deposits import card
from chez.deposits.ack import Acknowledgement, ack_plain, open_ack, seal_ack
from chez.deposits.address import Quota, Terms, read_address, sign_address
from chez.deposits.card import read_card
from chez.deposits.message import MAX_RECORDS, SIZES, Section, open_deposit, seal_deposit
from chez.deposits.types import KINDS, RecordType, check_types, described, read_type, type_named
from chez.errors import BadEntry, InvalidValue
from chez.vocabulary import VOCABULARY
from chez_deposit import OrganisationKeys, new_keys
from chez_wire.login import inbox_of
from tests.deposits.support import (
    NOW,
    POLICIES,
    TRANSACTIONS,
    address,
    address_keys,
    message,
    organisation,
    policy,
)
from tests.relay.support import seed
from tests.tries import tries
from tests.vectors import make_deposits as made
from tests.vectors.golden import golden

KEYS, ADDRESS, INSURER = address_keys(), address(), organisation()
INBOX = inbox_of(KEYS.inbox.public)
ACK = Acknowledgement(1, KEYS.id, 1, 2, seed("hash"), "taken", 3)


def swapped(text: str, at: int) -> str:
    """A text with one of its characters after the colon replaced by another."""
    start = text.index(":") + 1
    place = start + at % (len(text) - start)
    return text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1:]


def test_an_address_says_the_same_on_each_device() -> None:
    """An address read from its text is the one that was made, and making it again gives the same text."""
    assert read_address(ADDRESS.text) == ADDRESS and address().text == ADDRESS.text
    assert read_address(ADDRESS.text).types == (POLICIES,) and len(ADDRESS.words.split()) == 6


@given(st.integers(0, 2000))
@settings(max_examples=tries(40))
def test_what_was_changed_on_its_way_is_no_address_and_no_card(at: int) -> None:
    """Any character of an address or of a card replaced by another is refused: terms can't be altered on the way."""
    for text, read in ((ADDRESS.text, read_address), (INSURER.card.text, read_card)):
        with pytest.raises(InvalidValue):
            read(swapped(text, at))  # type: ignore[operator]


def test_two_addresses_of_one_person_have_no_key_in_common() -> None:
    """Whatever of an address is a key, a name at the relay or a signature is another in each address."""
    one, other = address("one"), address("other")
    for name in ("key", "sealing", "inbox", "put", "signature"):
        assert getattr(one, name) != getattr(other, name)


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=20))
@settings(max_examples=tries(30))
def test_a_message_opens_as_it_was_made_in_one_of_five_sizes(sizes: list[int]) -> None:
    """What is sealed opens, row by row, and its size is one of five whatever is in it."""
    records = [policy(n, note="x" * size) for n, size in enumerate(sizes)]
    item = message(ADDRESS, INSURER, records)
    deposit = open_deposit(item, KEYS.sealing, INBOX)
    assert len(item) in SIZES and deposit.key == INSURER.signing.public and deposit.address == KEYS.id
    assert [(row, json.loads(line)) for row, _, line in deposit.records()] == list(enumerate(records, 1))
    assert deposit.count == len(records)


@given(st.integers(0, 4095), st.integers(1, 255))
@settings(max_examples=tries(40))
def test_a_message_or_acknowledgement_altered_anywhere_is_refused(at: int, flip: int) -> None:
    """Any byte changed by a relay makes a message, or an acknowledgement, worth nothing."""
    item = bytearray(message(ADDRESS, INSURER, [policy(1)]))
    ack = bytearray(seal_ack(ACK, KEYS.signing, INSURER.card))
    item[at % len(item)] ^= flip
    ack[at % len(ack)] ^= flip
    with pytest.raises(BadEntry):
        open_deposit(bytes(item), KEYS.sealing, INBOX)
    with pytest.raises(BadEntry):
        open_ack(bytes(ack), INSURER.sealing, INSURER.inbox)


def test_a_message_is_worth_nothing_in_another_inbox() -> None:
    """The signature names the inbox: what one customer opened can't be sealed to another and put there."""
    item = message(ADDRESS, INSURER, [policy(1)])
    with pytest.raises(BadEntry, match="not signed"):
        open_deposit(item, KEYS.sealing, seed("another inbox"))


@given(st.binary(max_size=200))
@settings(max_examples=tries(50))
def test_any_bytes_are_refused_by_a_typed_error(data: bytes) -> None:
    """Whatever lies in an inbox, or is sealed to it by somebody else, raises `BadEntry` and nothing else."""
    for item in (data, seal_to(KEYS.sealing.public, data), seal_to(KEYS.sealing.public, bytes(64) + data)):
        with pytest.raises(BadEntry):
            open_deposit(item, KEYS.sealing, INBOX)
        with pytest.raises(BadEntry):
            open_ack(item, KEYS.sealing, INBOX)


def test_what_is_sealed_and_signed_is_a_message_of_this_version_or_none() -> None:
    """Whoever has the organisation's key seals no more records than a message has, none, or anything else, nor in
    another size or with anything behind it: it is refused by its reason."""
    def sealed(plain: bytes, size: int = SIZES[-1], last: bytes = b"\0") -> bytes:
        padded = len(plain).to_bytes(4, "big") + plain
        padded = padded.ljust(size - SIGNATURE_BYTES - SEALED_BOX_OVERHEAD - 1, b"\0") + last
        return seal_to(KEYS.sealing.public, INSURER.signing.sign("chez/1 deposit", INBOX, padded) + padded)

    def deposit(version: int, lines: bytes) -> bytes:
        section = Section("policies", lines)
        return msgspec.msgpack.encode([version, KEYS.id, INSURER.signing.public, 1, 1, "", [section]])

    assert open_deposit(sealed(deposit(1, b"{}")), KEYS.sealing, INBOX).count == 1
    for plain, why in ((deposit(1, b"\n".join([b"{}"] * (MAX_RECORDS + 1))), "has 1 to"),
                       (msgspec.msgpack.encode([1, KEYS.id, INSURER.signing.public, 1, 1, "", []]), "has 1 to"),
                       (deposit(2, b"{}"), "version that is known"), (b"\xc1", "version that is known"),
                       (deposit(1, b"{}") + b"x", "version that is known")):
        with pytest.raises(BadEntry, match=why):
            open_deposit(sealed(plain), KEYS.sealing, INBOX)
    for size, last in ((SIZES[0] + 1, b"\0"), (SIZES[0], b"x")):
        with pytest.raises(BadEntry, match="padded in a way"):
            open_deposit(sealed(deposit(1, b"{}"), size, last), KEYS.sealing, INBOX)
    good = ack_plain(ACK, KEYS.signing, INSURER.inbox)[SIGNATURE_BYTES:]
    for padded, why in (((2).to_bytes(2, "big") + b"\x91\x02" + bytes(252), "version that is known"),
                        (good + b"\0", "padded as no"), (good[:-1] + b"x", "padded as no")):
        other = KEYS.signing.sign("chez/1 deposit ack", INSURER.inbox, padded) + padded
        with pytest.raises(BadEntry, match=why):
            open_ack(seal_to(INSURER.sealing.public, other), INSURER.sealing, INSURER.inbox)


@pytest.mark.parametrize("line", ["", " x", "x ", "a\nb", "Insurer\u202eAS", "a\x1b[31m", "x" * 129])
def test_no_name_hides_on_the_screen_where_a_person_says_yes(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No card has a name, contact or domain of more or less than one plain line, whoever signs it; nor has an address a
    label that can't be shown, or an organisation that is no key."""
    for place in ("name", "contact", "domain"):
        lines = {"name": "a", "contact": "a", "domain": "a", place: line}

        def keys(lines: dict[str, str] = lines) -> OrganisationKeys:
            return new_keys(lines["name"], lines["contact"], lines["domain"], "ws://127.0.0.1:1", lambda _: seed("one"))

        with pytest.raises(InvalidValue, match=f"organisation's {place}"):
            keys()
        with monkeypatch.context() as patched:
            patched.setattr(card, "_check_line", lambda what, line: None)
            text = keys().card.text
        with pytest.raises(InvalidValue):
            read_card(text)
    for label, whose, why in (("Ins\u202eurer", b"", "can't be shown"), ("Insurer", b"key", "what is no key")):
        terms = Terms(label, "ws://127.0.0.1:1", (), (POLICIES,), Quota(), True, NOW * 1000, whose)
        with pytest.raises(InvalidValue, match=why):
            read_address(sign_address(KEYS, terms).text)


def test_what_does_not_fit_a_message_is_refused() -> None:
    """More records or bytes than a message has room for are refused before anything is sealed."""
    for lines in (b"\n".join([b"{}"] * (MAX_RECORDS + 1)), b"x" * 70_000):
        with pytest.raises(InvalidValue, match="message"):
            seal_deposit(ADDRESS, INSURER.signing, 1, 1, [Section("policies", lines)])


def test_an_acknowledgement_says_what_was_said_in_one_size() -> None:
    """It opens as it was sealed; all have the same length, whatever they say."""
    others = [Acknowledgement(1, KEYS.id, era, number, seed("other"), "number-used", refused)
              for era, number, refused in ((1, 1, 0), (2**53 - 1, 2**31 - 1, 2**31 - 1))]
    sealed = [seal_ack(one, KEYS.signing, INSURER.card) for one in (ACK, *others)]
    assert [open_ack(one, INSURER.sealing, INSURER.inbox) for one in sealed] == [ACK, *others]
    assert len({len(one) for one in sealed}) == 1


@pytest.mark.parametrize("kind", VOCABULARY, ids=lambda kind: kind.__name__)
def test_the_vocabularys_types_are_told_by_an_address(kind: type[Any]) -> None:
    """Each type of the vocabulary can be told by an address, and takes an identity that is always there; what may be
    left out is told."""
    assert TRANSACTIONS.fields == {
        "account": "text", "reference": "text", "posted": "date", "amount": "decimal", "currency": "text?",
        "kind": "text", "name": "text?", "memo": "text?", "check_number": "text?", "initiated": "date?"}
    found = described(kind)
    assert check_types([found]) == (found,) and {one.rstrip("?") for one in found.fields.values()} <= set(KINDS)
    assert read_address(address(types=[found]).text).types == (found,)


GOOD = {"account": "b/1", "reference": "r", "posted": "2026-01-31", "amount": "1.50", "currency": "EUR", "kind": "fee"}


@pytest.mark.parametrize(("change", "why"), [
    ({"amount": 1.5}, "no decimal"), ({"amount": "1e400"}, "no decimal"), ({"amount": "NaN"}, "no decimal"),
    ({"posted": "31/01/2026"}, "no date"), ({"posted": "2026-02-30"}, "no date"), ({"posted": None}, "missing"),
    ({"reference": ""}, "what it is about"), ({"reference": 5}, "no text"), ({"iban": "x"}, "which this type has not"),
    ({"_source": "me"}, "which this type has not"), ({"amount": 10**70}, "no decimal"),
])
def test_a_record_of_another_form_is_refused_with_a_reason(change: dict[str, Any], why: str) -> None:
    """A field that is missing, unknown, or of another kind costs that record, and the reason names it."""
    assert TRANSACTIONS.check(json.dumps(GOOD).encode()).values["amount"] == "1.50"
    with pytest.raises(InvalidValue, match=why):
        TRANSACTIONS.check(json.dumps(GOOD | change).encode())


def test_an_identity_that_the_vocabulary_has_empty_is_taken() -> None:
    """An account whose IBAN says the bank is taken, as a connector makes it; one without a number is not."""
    account = {"institution": "", "number": "FR7612345678901234567890123", "kind": "checking", "currency": "EUR"}
    taken = type_named("accounts").check(json.dumps(account).encode())
    assert taken.identity == {"institution": "", "number": account["number"]}
    with pytest.raises(InvalidValue, match="what it is about"):
        type_named("accounts").check(json.dumps(account | {"number": ""}).encode())


@pytest.mark.parametrize(("kind", "given", "kept"), [
    ("integer", -2**63, -2**63), ("integer", 2**63 - 1, 2**63 - 1), ("integer", 2**63, None), ("integer", True, None),
    ("integer", 1.0, None), ("number", 1, 1.0), ("number", True, None), ("decimal", "+01.50", "1.50"),
    ("decimal", -7, "-7"), ("decimal", True, None), ("boolean", False, False), ("boolean", 1, None),
    ("date", "2026-01-31", "2026-01-31"), ("date", "20260131", None), ("time", 5, None),
    ("time", "2026-01-31T00:30:00+01:00", datetime(2026, 1, 30, 23, 30, tzinfo=UTC)),
    ("time", "2026-01-31T00:00:00", None), ("data", [1], [1]), ("text", "", ""),
])
def test_a_field_is_kept_in_the_form_of_its_kind(kind: Any, given: Any, kept: Any) -> None:
    """What fits a kind is kept as the page of deposits says, exactly; what does not costs its record."""
    one = RecordType("things", ("id",), {"id": "text", "field": kind})
    line = json.dumps({"id": "1", "field": given}).encode()
    if kept is None:
        with pytest.raises(InvalidValue, match=f"'field' is no {kind}"):
            one.check(line)
    else:
        found = one.check(line).values["field"]
        assert (type(found), found) == (type(kept), kept)


TEXTS = st.sampled_from(("", "a", "_", "_blob", "1.5", "2026-01-31", "2026-01-31T00:00:00Z", "\x00", "\ud800", "true"))


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | TEXTS,
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
                    max_leaves=5), st.sampled_from(KINDS))
@settings(max_examples=tries(80))
def test_whatever_a_field_holds_is_taken_or_refused(item: Any, kind: Any) -> None:
    """Any JSON in a field of any kind is a value that a record may hold, or an `InvalidValue`."""
    one = RecordType("things", ("id",), {"id": "text", "field": kind})
    try:
        checked = one.check(json.dumps({"id": "1", "field": item}).encode())
    except InvalidValue:
        return
    assert checked.identity == {"id": "1"} and checked.values.keys() == {"field"}


@pytest.mark.parametrize("data", [
    b'{"_blob":"' + b"ab" * 32 + b'","size":35184372088832}', b'[{"a":{"\\u005fblob":1}}]',
])
def test_no_deposit_refers_to_an_attachment(data: bytes) -> None:
    """What would stand for one, however deep it lies and however it is written, is refused: none comes with it."""
    kind = RecordType("anything", ("id",), {"id": "text", "data": "data?"})
    assert kind.check(b'{"id":"1","data":{"blob":[{"_other":1}]}}').values
    with pytest.raises(InvalidValue, match="attachment"):
        kind.check(b'{"id":"1","data":' + data + b"}")


@pytest.mark.parametrize("wrong", [
    {"collection": "chez-contacts"}, {"collection": "Chez.offers"}, {"collection": "Open_velov"},
    {"collection": "sqlite_x"}, {"identity": []},
    {"identity": ["until"]}, {"identity": ["nothing"]}, {"fields": {"number": "json"}},
    {"fields": {"number": "text", "_id": "text"}},
    {"collection": "transactions"}, {"more": 1}, {"fields": {"number": "text", "a\nb": "text"}},
])
def test_a_type_that_nobody_may_leave_is_refused(wrong: dict[str, Any]) -> None:
    """Chez's own collections, tables of open data, those of the vocabulary under other fields, and identities that may
    be missing."""
    good = {"collection": "policies", "identity": ["number"], "fields": {"number": "text", "until": "date?"}}
    assert read_type(json.dumps(good).encode()).collection == "policies"
    with pytest.raises(InvalidValue):
        read_type(json.dumps(good | wrong).encode())


def test_the_golden_files_say_what_is_made_now() -> None:
    """Keys, address, card, and what is inside both messages are what another implementation was told."""
    assert golden("deposits") == made.vectors()
    pinned = golden("deposits")
    assert read_address(pinned["address"]["text"]) == made.ADDRESS and read_card(pinned["card"]["text"]) == made.CARD
    assert read_card(pinned["succession"]["text"]) == made.SUCCEEDED
    whole = bytes.fromhex(pinned["deposit"]["plain"]).ljust(int(pinned["deposit"]["size"]), b"\0")
    assert open_deposit(seal_to(made.KEYS.sealing.public, whole), made.KEYS.sealing, made.ADDRESS.inbox) == made.DEPOSIT
    whole = bytes.fromhex(pinned["ack"]["plain"]).ljust(int(pinned["ack"]["size"]), b"\0")
    assert open_ack(seal_to(made.SEALING.public, whole), made.SEALING, made.CARD.inbox) == made.SAID
