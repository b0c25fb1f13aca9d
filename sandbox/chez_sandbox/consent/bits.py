"""How much a number of bits is, in words."""

import math

from chez_sandbox.consent.catalogue import Language, phrase

__all__ = ("bits_words",)


def bits_words(bits: float, language: Language = "en") -> str:
    """What so many bits are about as much as; never said to be less than they are.

    A decimal digit carries log2(10) bits, a character of eight bits eight.
    """
    if bits <= 0:
        return phrase(language, "bits.none")
    if bits <= 1:
        return phrase(language, "bits.one")
    digits = math.ceil(bits / math.log2(10))
    if digits == 1:
        return phrase(language, "bits.digit")
    if digits <= 20:
        return phrase(language, "bits.digits", digits=digits)
    return phrase(language, "bits.text", characters=math.ceil(bits / 8))
