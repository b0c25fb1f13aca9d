"""A provider's catalogue as a chain of signed lines, without a home."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from chez.crypto import SigningKey
from chez.errors import InvalidValue, NotAllowed, NotFound
from chez_sandbox.bundle import Bundle, build_bundle
from chez_sandbox.consent.inspect import fingerprint
from chez_sandbox.job_errors import CatalogueForked, CatalogueInvalid, VersionWentBack
from chez_sandbox.offers.feed import Feed, Line, find, next_line, read_feed, read_head
from tests.jobs.samples import MEAN, SIGNING, manifest_text
from tests.jobs.test_identity import NEXT, THIRD, of
from tests.tries import tries

FOURTH = SigningKey.from_seed(bytes([24]) * 32)
OTHER = SigningKey.from_seed(bytes([7]) * 32)

Record = dict[str, Any]


def bundle(job: str = "mean-power", version: int = 1, code: bytes = MEAN, key: SigningKey = SIGNING) -> Bundle:
    """A signed bundle of the sample provider, or of another."""
    return build_bundle(manifest_text(job=job, version=version, signing=key), code, "python", key)


BUNDLES = {(job, version): bundle(job, version) for job in ("mean-power", "peak") for version in range(1, 6)}


def record(line: Line, offered: Bundle, key: SigningKey = SIGNING) -> Record:
    """A signed line as it is stored."""
    return {"line": line.encoded, "signature": line.sign(key), "bundle": offered.encoded}


def published(*bundles: Bundle, key: SigningKey = SIGNING) -> list[Record]:
    """The records of a catalogue that offers these, in this order."""
    records: list[Record] = []
    for one in bundles:
        records.append(record(next_line(read_feed(records), one), one, key))
    return records


@st.composite
def catalogues(draw: st.DrawFn) -> list[Record]:
    """A catalogue of up to two jobs, in whatever order their versions were published."""
    jobs = draw(st.lists(st.sampled_from(["mean-power", "peak"]), min_size=1, max_size=5))
    return published(*(BUNDLES[job, jobs[: place + 1].count(job)] for place, job in enumerate(jobs)))


@settings(max_examples=tries(25))
@given(catalogues(), st.randoms())
def test_a_feed_is_read_back_from_its_records_in_any_order(records: list[Record], random: Any) -> None:
    """The order of records, and repeats of them, say nothing; the last line of each job is its newest version."""
    feed = read_feed(records)
    shuffled = [*records, records[0]]
    random.shuffle(shuffled)
    assert read_feed(shuffled) == feed
    assert [offer.line.number for offer in feed.offers] == list(range(1, len(records) + 1))
    newest = {offer.line.job: offer.line.version for offer in feed.offers}
    assert {offer.open().manifest.id: offer.open().manifest.version for offer in feed.newest} == newest
    number, hash = read_head(feed.head)
    assert feed.has(number, hash) and number == len(records)


@settings(max_examples=tries(25))
@given(catalogues(), st.data())
def test_a_second_history_is_a_fork_whoever_sees_both(records: list[Record], data: st.DataObject) -> None:
    """Another signed line under a number is refused beside the first, before a later one, and by who saw the first."""
    number = data.draw(st.integers(1, len(records)))
    special = bundle("special")
    forged = record(next_line(read_feed(records[: number - 1]), special), special)
    with pytest.raises(CatalogueForked, match=f"lines {number} of"):
        read_feed([*records, forged])
    for here, there in ((records, [*records[: number - 1], forged]), ([*records[: number - 1], forged], records)):
        with pytest.raises(CatalogueForked):
            read_feed(here).has(number, read_feed(there).offers[number - 1].line.hash)
    if number < len(records):
        with pytest.raises(CatalogueForked):
            read_feed([*records[: number - 1], forged, *records[number:]])


@settings(max_examples=tries(25))
@given(catalogues(), st.data())
def test_a_part_of_a_feed_is_a_shorter_one_and_never_another(records: list[Record], data: st.DataObject) -> None:
    """The first lines alone are a catalogue that does not reach so far yet; with a gap they are none."""
    cut = data.draw(st.integers(0, len(records)))
    whole, part = read_feed(records), read_feed(records[:cut])
    assert part == Feed(whole.offers[:cut])
    assert part.has(*read_head(whole.head)) == (cut == len(records))
    if 0 < cut < len(records):
        with pytest.raises(CatalogueInvalid, match=f"line {cut} is missing"):
            read_feed([*records[: cut - 1], *records[cut:]])


FIRST = published(BUNDLES["mean-power", 1])
LINE = read_feed(FIRST).offers[0].line


def _without(name: str) -> Record:
    return {key: value for key, value in FIRST[0].items() if key != name}


DAMAGED: dict[str, Sequence[Record]] = {
    "no line": [_without("line")],
    "no bundle": [_without("bundle")],
    "text": [FIRST[0] | {"line": "text"}],
    "a bundle that is text": [FIRST[0] | {"bundle": "text"}],
    "signature": [FIRST[0] | {"signature": bytes(64)}],
    "another's signature": [FIRST[0] | {"signature": LINE.sign(OTHER)}],
    "another encoding": [FIRST[0] | {"line": b"\xdc\x00\x07" + LINE.encoded[1:]}],
    "another key": [*FIRST, record(structs.replace(LINE, number=2, provider=OTHER.public, previous=LINE.hash),
                                   BUNDLES["mean-power", 1], OTHER)],
    "back": [*FIRST, record(structs.replace(LINE, number=2, previous=LINE.hash), BUNDLES["mean-power", 1])],
}  # fmt: skip


@pytest.mark.parametrize("records", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_record_that_is_no_signed_line_of_the_chain_is_refused(records: Sequence[Record]) -> None:
    """What lacks a part, is signed by somebody else, is encoded otherwise or goes back makes no catalogue."""
    with pytest.raises(CatalogueInvalid) as refused:
        read_feed(records)
    assert not isinstance(refused.value, CatalogueForked) and refused.value.hint


@pytest.mark.parametrize("other", [bundle(code=MEAN + b"#").encoded, BUNDLES["peak", 1].encoded, b"", FIRST[0]["line"]])
def test_a_line_offers_the_bundle_that_it_names_and_no_other(other: bytes) -> None:
    """Other code under the version, another job, and what is no bundle are refused when they are opened."""
    (offer,) = read_feed([FIRST[0] | {"bundle": other}]).offers
    with pytest.raises(CatalogueInvalid):
        offer.open()


def test_what_may_be_published_next() -> None:
    """Versions rise, one catalogue is one key's, and lines have their order; leaving numbers out is allowed."""
    feed = read_feed(published(BUNDLES["mean-power", 2], BUNDLES["peak", 1]))
    for refused in (BUNDLES["mean-power", 1], BUNDLES["mean-power", 2], bundle(version=2, code=MEAN + b"#")):
        with pytest.raises(VersionWentBack):
            next_line(feed, refused)
    with pytest.raises(NotAllowed, match="another provider"):
        next_line(feed, bundle("third", key=OTHER))
    line = next_line(feed, BUNDLES["mean-power", 5])
    assert (line.number, line.previous, line.version) == (3, feed.offers[-1].line.hash, 5)


def lines(*signed: tuple[Bundle, SigningKey]) -> list[Record]:
    """The records of a catalogue whose lines are signed by these keys."""
    records: list[Record] = []
    for one, key in signed:
        records.append(record(next_line(read_feed(records), one), one, key))
    return records


def test_a_key_that_the_old_one_signed_goes_on_with_the_chain() -> None:
    """The head stays one line for everybody across new keys, versions go on, and the job is found by either key; of two
    keys that follow at once, and of the old key's further lines, each is refused."""
    old, new = of(SIGNING), of(NEXT, SIGNING, version=2)
    twice = of(FOURTH, SIGNING, NEXT, THIRD, version=3)  # THIRD never signed a line
    records = lines((old, SIGNING), (new, NEXT), (twice, FOURTH))
    feed = read_feed(records[::-1])
    assert feed.keys == tuple(key.public.hex() for key in (SIGNING, NEXT, THIRD, FOURTH))
    assert [offer.open().manifest.version for offer in feed.offers] == [1, 2, 3]
    assert feed.has(*read_head(read_feed(records[:1]).head)) and feed.provider == FOURTH.public.hex()
    for feeds in ([feed], [read_feed(records[:1]), feed], [feed, read_feed(records[:2])]):
        for key in (SIGNING, NEXT, FOURTH):
            named = [("example.org", one) for one in feeds]
            assert find(named, f"{key.public.hex()}/mean-power").line.version == 3
        assert find([("example.org", one) for one in feeds], "mean-power").line.version == 3
    beside = of(THIRD, SIGNING, version=2)
    with pytest.raises(CatalogueForked, match="lines 2 of"):
        read_feed([*records[:2], *lines((old, SIGNING), (beside, THIRD))[1:]])
    with pytest.raises(VersionWentBack):
        next_line(feed, of(FOURTH, SIGNING, NEXT, THIRD, version=2))
    for late, key in ((of(SIGNING, version=4), SIGNING), (of(SIGNING, NEXT, version=4), SIGNING)):
        line = Line(1, key.public, 3, read_feed(records[:2]).offers[-1].line.hash, "mean-power", 4, late.hash)
        with pytest.raises(CatalogueInvalid, match="another key"):
            read_feed([*records[:2], record(line, late, key)])
    with pytest.raises(NotAllowed, match="or of a newer one"):
        next_line(read_feed(records[:2]), of(SIGNING, version=4))


def test_a_key_that_nobody_signed_and_too_many_of_them_go_on_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's bundle after the provider's is no further line, nor is that of a successor of somebody else; and a
    catalogue has so many keys at most, for each costs its readers a bundle to open."""
    records = lines((of(SIGNING), SIGNING))
    before = read_feed(records).offers[0].line.hash
    for stranger in (of(NEXT, version=2), of(NEXT, THIRD, version=2)):
        line = Line(1, NEXT.public, 2, before, "mean-power", 2, stranger.hash)
        with pytest.raises(CatalogueInvalid, match="did not sign"):
            read_feed([*records, record(line, stranger, NEXT)])
    records = lines((of(SIGNING), SIGNING), (of(NEXT, SIGNING, version=2), NEXT))
    monkeypatch.setattr("chez_sandbox.offers.feed.MAX_FORMERLY", 0)
    with pytest.raises(CatalogueInvalid, match="more than 0 keys"):
        read_feed(records)


def test_a_job_is_found_by_its_name_and_by_its_providers_domain() -> None:
    """One name at two providers is asked back; with the domain it is found, and what nobody offers is not."""
    ours = read_feed(published(BUNDLES["mean-power", 1], BUNDLES["mean-power", 2]))
    theirs = read_feed(published(bundle(key=OTHER), key=OTHER))
    feeds = [("example.org", ours), ("example.com", theirs)]
    assert find(feeds, "example.org/mean-power").line.version == 2
    assert find(feeds[:1], "mean-power").line.provider == SIGNING.public
    with pytest.raises(InvalidValue, match=r"example.com/mean-power or example.org/mean-power"):
        find(feeds, "mean-power")
    for name in ("peak", "example.net/mean-power", ""):
        with pytest.raises(NotFound):
            find(feeds, name)


@pytest.mark.parametrize(("limit", "value"), [("MAX_JOBS", 1), ("MAX_RECORDS", 2), ("MAX_BYTES", 2500)])
def test_a_catalogue_is_bounded(limit: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More jobs, records or bytes than whoever looks can be made to work through are refused, and not published."""
    first, second, _ = records = published(bundle(), bundle("peak"), bundle("peak", 2))
    monkeypatch.setattr(f"chez_sandbox.offers.feed.{limit}", value)
    assert len(first["bundle"]) < 2500 < len(first["bundle"]) + len(second["bundle"])
    with pytest.raises(CatalogueInvalid, match=str(value) if limit != "MAX_JOBS" else "2 jobs"):
        read_feed(records)
    if limit == "MAX_RECORDS":
        with pytest.raises(CatalogueInvalid):
            read_feed([first] * 3)
    else:
        with pytest.raises(NotAllowed, match="at most 1 jobs" if limit == "MAX_JOBS" else "2500 bytes"):
            next_line(read_feed([first]), bundle("peak"))


def test_a_domain_that_two_keys_say_to_have_names_neither() -> None:
    """Two keys of one domain are told apart by their keys alone, with the words to compare of both, and another domain
    that looks like a key is none; two catalogues of one key are no doubt, and the longer one counts."""
    ours = read_feed(published(BUNDLES["mean-power", 1]))
    longer = read_feed(published(BUNDLES["mean-power", 1], BUNDLES["mean-power", 2]))
    theirs = read_feed(published(bundle(version=9, key=OTHER), key=OTHER))
    for order in (1, -1):
        feeds = [("example.org", ours), ("example.org", longer), ("example.org", theirs)][::order]
        for name in ("mean-power", "example.org/mean-power"):
            with pytest.raises(InvalidValue) as refused:
                find(feeds, name)
            said = str(refused.value) + str(refused.value.hint)
            for key in (SIGNING.public.hex(), OTHER.public.hex()):
                assert fingerprint(key) in said and f"{key}/mean-power" in said
        assert find(feeds, f"{SIGNING.public.hex()}/mean-power").line.version == 2
        assert find(feeds, f"{OTHER.public.hex()}/mean-power").line.version == 9
    posing = [("example.org", ours), (SIGNING.public.hex(), theirs)]
    assert find(posing, f"{SIGNING.public.hex()}/mean-power").line.provider == SIGNING.public


@settings(max_examples=tries(25))
@given(st.text(max_size=80) | st.from_regex(r"[0-9]{1,6}:[0-9a-f]{63,65}"))
def test_a_head_is_a_number_and_a_hash(text: str) -> None:
    """Whatever is typed as a head is read, or refused by a typed error."""
    try:
        number, hash = read_head(text)
    except InvalidValue:
        return
    assert number >= 1 and len(hash) == 32
