"""Safety words: the same for both, of the persons alone, and no hash of both together."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st
from mnemonic import Mnemonic

from chez.spaces.safety import safety_words
from tests.vectors.golden import golden
from tests.vectors.make_safety import vectors

IDS = st.binary(min_size=32, max_size=32)
GOLDEN = golden("safety")


def test_the_golden_vectors_are_what_is_printed_now() -> None:
    """tests/vectors/safety.json is pinned."""
    assert vectors() == GOLDEN


def test_the_words_follow_from_the_page_alone() -> None:
    """Computed anew from what docs/formats.md says: hash, bits, list."""
    words = Mnemonic("english").wordlist
    for person in GOLDEN["persons"]:
        label, id = b"chez/1 safety words", bytes.fromhex(person["id"])
        fields = b"".join(len(one).to_bytes(4, "big") + one for one in (label, id))
        digest = hashlib.blake2b(fields, digest_size=32).hexdigest()
        assert digest == person["hash"]
        bits = f"{int(digest, 16):0256b}"[:66]
        assert person["words"] == " ".join(words[int(bits[at : at + 11], 2)] for at in range(0, 66, 11))
    assert GOLDEN["words"] == " ".join(one["words"] for one in sorted(GOLDEN["persons"], key=lambda one: one["id"]))


@given(IDS, IDS)
def test_both_see_the_same_words(one: bytes, other: bytes) -> None:
    """Twelve words of the list, whichever of the two asks."""
    words = safety_words(one, other)
    assert words == safety_words(other, one)
    assert len(words.split()) == 12 and set(words.split()) <= set(Mnemonic("english").wordlist)


@given(IDS, IDS, IDS)
def test_each_person_has_words_of_its_own(one: bytes, other: bytes, third: bytes) -> None:
    """A person's six are the same whomever it compares with: nobody gains by trying pairs of ids."""
    def own(id: bytes, with_: bytes) -> str:
        each = safety_words(id, with_).split()
        return " ".join(each[:6] if id <= with_ else each[6:])

    assert own(one, other) == own(one, third)
