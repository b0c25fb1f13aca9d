"""What several runs can tell is counted at the provider's end: from the messages it opens."""

import itertools
import math
from datetime import date
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chez.crypto import SealingKey, SigningKey
from chez_sandbox.release.release import Address, build_message, message_size, open_message
from chez_sandbox.release.schema import Schema
from tests.jobs.test_schema import schemas, values
from tests.tries import tries

SEALING = SealingKey.from_seed(bytes([2]) * 32)
PSEUDONYM = SigningKey.from_seed(bytes([9]) * 32)
INBOX = bytes(32)


def views(schema: Schema, texts: list[str], sequence: int) -> set[tuple[int, str, bytes]]:
    """All that a provider can see of one run, its length included: one for each result there is, and "none"."""
    seen: set[tuple[int, str, bytes]] = set()
    for result in (None, *(schema.admit(text.encode()).encoded for text in texts)):
        message = build_message(
            schema, Address(SEALING.public, INBOX), PSEUDONYM, grant=bytes(16), sequence=sequence,
            run_date=date(2026, 11, 24), bundle=bytes(32), consent=bytes(32), result=result,
        )  # fmt: skip
        release = open_message(message, SEALING, INBOX)
        assert (release.sequence, release.run_date, len(message)) == (sequence, "2026-11-24", message_size(schema))
        seen.add((len(message), release.outcome, release.result))
    return seen


@given(st.lists(schemas(), min_size=1, max_size=3))
@settings(max_examples=tries(60), deadline=None)
def test_what_runs_can_tell_is_what_they_are_debited(several: list[dict[str, Any]]) -> None:
    """Over runs of one or several jobs, the bits debited are the logarithm of the number of different histories."""
    parsed = [Schema.parse(schema) for schema in several]
    assume(math.prod(schema.count + 1 for schema in parsed) <= 2_000)
    each = [views(schema, values(raw), n) for n, (schema, raw) in enumerate(zip(parsed, several, strict=True), 1)]
    histories = set(itertools.product(*each))
    assert sum(schema.bits for schema in parsed) == pytest.approx(math.log2(len(histories)))
