"""Prints the golden vectors of safety words: of two persons, each alone and both together.

    python -m tests.vectors.make_safety > tests/vectors/safety.json
"""

import json
import sys

from chez import crypto
from chez.spaces.safety import safety_words
from tests.vectors.fixed import PERSON, filled

__all__ = ("OTHER", "vectors")

OTHER = crypto.SigningKey.from_seed(filled(0x31)).public
"""The id of another person."""


def vectors() -> dict[str, list[dict[str, str]] | str]:
    """The two ids in the order in which their words stand, with the hash that gives each its six words."""
    ids = sorted((PERSON.root.public, OTHER))
    words = safety_words(*ids).split()
    return {"persons": [{"id": id.hex(), "hash": crypto.hash_fields("chez/1 safety words", id).hex(),
                         "words": " ".join(words[place * 6 : place * 6 + 6])} for place, id in enumerate(ids)],
            "words": " ".join(words)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2) + "\n")
