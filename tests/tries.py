"""How many examples property tests try: half of what each names in a suite that is to be quick, all when exploring.

The suite tries the same examples each time, so it guards what is known; new ones are looked for with
`--hypothesis-profile=explore` (see tests/conftest.py).
"""

from hypothesis import settings

__all__ = ("ALL", "HALF", "tries")

ALL = 100
HALF = 50


def tries(all_of_them: int) -> int:
    """The examples of a test that tries so many when exploring."""
    return max(1, all_of_them * settings.default.max_examples // ALL)
