"""The 24 words in shares: any k of n give them back, fewer give nothing, and what is wrong is named."""

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shamir_mnemonic import generate_mnemonics
from shamir_mnemonic.wordlist import WORDLIST

from chez.errors import InvalidValue
from chez.keys import combine_shares, new_words, read_share, split_words
from chez.keys.shares import MAX_SHARES, SHARE_WORDS
from tests.tries import tries
from tests.vectors.golden import golden
from tests.vectors.make_shares import vectors

GOLDEN = golden("shares")
WORDS = new_words(bytes(range(32)))
SHARES = split_words(WORDS, threshold=3, count=5)


def test_golden_shares_hold() -> None:
    """Shares on paper give their words back for ever: the pinned set, computed from the definition, does."""
    assert vectors() == GOLDEN
    for chosen in itertools.combinations(GOLDEN["shares"], 3):
        assert combine_shares(chosen) == GOLDEN["words"]
    first = read_share(GOLDEN["shares"][0])
    assert (first.set, first.number, first.threshold) == (GOLDEN["set"], 1, GOLDEN["threshold"])


@given(st.binary(min_size=32, max_size=32), st.integers(2, MAX_SHARES), st.data())
@settings(max_examples=tries(25), deadline=None)
def test_any_enough_shares_give_the_words_back(entropy: bytes, threshold: int, data: st.DataObject) -> None:
    """Whichever k shares, in whatever order and however often each, give the words; k - 1 are told what is missing."""
    count = data.draw(st.integers(threshold, MAX_SHARES))
    words = new_words(entropy)
    shares = split_words(words, threshold=threshold, count=count)
    assert len(set(shares)) == count and all(len(share.split()) == SHARE_WORDS for share in shares)
    chosen = data.draw(st.permutations(shares))[: data.draw(st.integers(threshold, count))]
    assert combine_shares([*chosen, chosen[0].upper()]) == words
    with pytest.raises(InvalidValue, match="1 more share is needed"):
        combine_shares(chosen[: threshold - 1] * 2)


@pytest.mark.parametrize(("threshold", "count"), [(1, 1), (1, 3), (0, 2), (-1, 2), (3, 2), (2, 17), (17, 17)])
def test_what_can_not_be_split_is_refused(threshold: int, count: int) -> None:
    """Fewer than two, more than sixteen, or more needed than there are."""
    with pytest.raises(InvalidValue, match="can't be"):
        split_words(WORDS, threshold=threshold, count=count)


def test_what_is_no_phrase_is_not_split() -> None:
    """A phrase with a wrong word is refused before shares of nothing are made."""
    with pytest.raises(InvalidValue, match="not 24 words"):
        split_words(WORDS + " more", threshold=2, count=3)


@given(st.integers(0, SHARE_WORDS - 1), st.sampled_from(WORDLIST))
@settings(deadline=None)
def test_a_wrong_word_is_found_and_not_quoted(at: int, word: str) -> None:
    """One wrong word in a share is noticed by its checksum; the error names the share and quotes none of it."""
    words = SHARES[1].split()
    if words[at] == word:
        return
    wrong = " ".join([*words[:at], word, *words[at + 1 :]])
    with pytest.raises(InvalidValue) as error:
        combine_shares([SHARES[0], wrong, SHARES[2]])
    assert "share 2" in error.value.message or "another set" in error.value.message
    own = {"spelling"}  # a word of the list that the hint says whatever the share has
    assert not {word for word in wrong.split() if len(word) > 5} & (set(str(error.value).split()) - own)


def test_a_word_of_no_list_is_named_by_its_place() -> None:
    """What no share has is told by its place in the share."""
    words = SHARES[0].split()
    with pytest.raises(InvalidValue, match="word 7 is none"):
        read_share(" ".join([*words[:6], "xylophonist", *words[7:]]))
    with pytest.raises(InvalidValue, match="has 33 words, this has 32"):
        read_share(" ".join(words[:-1]))


@given(st.text() | st.lists(st.sampled_from(WORDLIST), max_size=40).map(" ".join))
@settings(deadline=None)
@example(" ".join(["academic"] * 33))
def test_any_text_is_a_share_or_refused(text: str) -> None:
    """Whatever is typed is a share or an error that says so."""
    try:
        read_share(text)
    except InvalidValue as error:
        assert error.message and error.hint


def test_shares_of_two_sets_do_not_mix() -> None:
    """A second split of the same words makes shares of its own."""
    other = split_words(WORDS, threshold=3, count=5)
    with pytest.raises(InvalidValue, match="share 3 is of another set"):
        combine_shares([*SHARES[:2], other[2]])
    with pytest.raises(InvalidValue, match="2 more shares are needed"):
        combine_shares([])


def _forged(index: int) -> str:
    """A share that says it is of our set, and is not."""
    from dataclasses import replace

    from shamir_mnemonic import Share

    true = Share.from_mnemonic(SHARES[index])
    forged: str = replace(true, value=bytes(32)).mnemonic()
    return forged


def test_a_forged_share_gives_no_words() -> None:
    """One share with a right checksum and a wrong value: among the first, or beyond those needed, it is noticed."""
    with pytest.raises(InvalidValue, match="do not fit each other"):
        combine_shares([_forged(0), *SHARES[1:3]])
    with pytest.raises(InvalidValue, match="fit"):
        combine_shares([*SHARES[:3], _forged(3)])
    with pytest.raises(InvalidValue, match="number of another"):
        combine_shares([*SHARES[:3], _forged(0)])


def test_shares_of_other_programs_are_refused_before_they_cost_anything() -> None:
    """Groups, a costly passphrase, and other lengths are not ours; a forged cost must not take hours."""
    groups = generate_mnemonics(2, [(2, 2), (2, 2)], bytes(32), iteration_exponent=0)[0][0]
    short = generate_mnemonics(1, [(2, 2)], bytes(16), iteration_exponent=0)[0][0]
    alone = generate_mnemonics(1, [(1, 1)], bytes(32), iteration_exponent=0)[0][0]
    from dataclasses import replace

    from shamir_mnemonic import Share

    costly = replace(Share.from_mnemonic(SHARES[0]), iteration_exponent=15).mnemonic()
    for share in (groups, short, alone, costly):
        with pytest.raises(InvalidValue):
            combine_shares([share, share])


def test_a_share_shows_no_value() -> None:
    """What is read of a share says its number and its set, and nothing of its value."""
    info = read_share(SHARES[0])
    assert repr(info) == f"ShareInfo(set={info.set}, number=1, threshold=3)"
