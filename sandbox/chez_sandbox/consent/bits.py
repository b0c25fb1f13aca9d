"""How much a number of bits is, in words."""

import math

__all__ = ("bits_words",)


def bits_words(bits: float) -> str:
    """What so many bits are about as much as; never said to be less than they are.

    A decimal digit carries log2(10) bits, a character of eight bits eight.
    """
    if bits <= 0:
        return "nothing"
    if bits <= 1:
        return "a yes or no"
    digits = math.ceil(bits / math.log2(10))
    if digits == 1:
        return "one digit"
    if digits <= 20:
        return f"a number of {digits} digits"
    return f"{math.ceil(bits / 8):,} characters of text"
