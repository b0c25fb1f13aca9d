"""The message that leaves: one length, one reader, one inbox, one sequence."""

import json
from datetime import date
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chez.crypto import SealingKey, SigningKey
from chez_sandbox.job_errors import MessageInvalid
from chez_sandbox.manifest import parse_manifest
from chez_sandbox.release.padding import pad, padded_size, unpad
from chez_sandbox.release.release import Address, build_message, message_size, open_message
from tests.jobs.samples import INBOX, SEALING, manifest_text

SCHEMA = parse_manifest(manifest_text()).schema
VECTOR = Path(__file__).parents[1] / "vectors" / "release.json"
PSEUDONYM = SigningKey.from_seed(bytes([9]) * 32)


def message(result: bytes | None, sequence: int = 1, address: Address | None = None) -> bytes:
    """A message of the sample job."""
    return build_message(
        SCHEMA,
        address or Address(SEALING.public, INBOX),
        PSEUDONYM,
        grant=bytes(16),
        sequence=sequence,
        run_date=date(2026, 11, 24),
        bundle=bytes(32),
        consent=bytes([5]) * 32,
        result=result,
    )


def test_the_provider_reads_what_was_released() -> None:
    """A message opens to the outcome, the result and the run's place under its grant."""
    release = open_message(message(b'{"watts":310}', 7), SEALING, INBOX)
    assert (release.outcome, release.result, release.sequence) == ("result", b'{"watts":310}', 7)
    assert release.pseudonym == PSEUDONYM.public
    assert open_message(message(None), SEALING, INBOX).outcome == "none"


@given(st.sampled_from([None, *(b'{"watts":%d}' % w for w in range(0, 10001, 10))]), st.integers(1, 2**31 - 1))
def test_every_message_of_a_job_has_one_length(result: bytes | None, sequence: int) -> None:
    """Neither outcome, nor value, nor the number of runs shows in the length."""
    assert len(message(result, sequence)) == message_size(SCHEMA)


def test_a_message_for_another_reader_or_inbox_does_not_open() -> None:
    """Another key can't open it; the same provider's other inbox does not accept it."""
    with pytest.raises(MessageInvalid):
        open_message(message(None), SealingKey.from_seed(bytes(32)), INBOX)
    with pytest.raises(MessageInvalid):
        open_message(message(None), SEALING, bytes(32))


def test_a_changed_message_does_not_open() -> None:
    """A flipped byte anywhere, a cut and an addition are all refused."""
    good = message(b'{"watts":310}')
    for place in range(0, len(good), 7):
        changed = bytearray(good)
        changed[place] ^= 1
        with pytest.raises(MessageInvalid):
            open_message(bytes(changed), SEALING, INBOX)
    # The last one is signed, and says that there is a result where there is none.
    for other in (good[:-1], good + b"\0", b"", bytes(100), message(b"")):
        with pytest.raises(MessageInvalid):
            open_message(other, SEALING, INBOX)


@given(st.binary(max_size=600), st.integers(0, 600))
def test_padding_comes_off_again(content: bytes, more: int) -> None:
    """Padding is undone exactly, and its size depends on the most there could be."""
    size = padded_size(len(content) + more)
    assert len(pad(content, size)) == size
    assert unpad(pad(content, size)) == content


@given(st.binary(max_size=64))
def test_any_bytes_unpad_or_fail(content: bytes) -> None:
    """Damaged padding is a ValueError, never a longer or shorter message."""
    try:
        assert pad(unpad(content), len(content)) == content
    except ValueError:
        pass


def test_the_golden_message_still_opens() -> None:
    """A message of version 1 opens with the known keys to the known fields."""
    vector = json.loads(VECTOR.read_text())
    release = open_message(bytes.fromhex(vector["message"]), SealingKey.from_seed(bytes.fromhex(vector["seed"])),
                           bytes.fromhex(vector["inbox"]))  # fmt: skip
    assert msgspec.to_builtins(release, builtin_types=(bytes,)) == [
        bytes.fromhex(field["hex"]) if isinstance(field, dict) else field for field in vector["fields"]
    ]
