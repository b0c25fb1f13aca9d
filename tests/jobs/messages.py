"""Messages as persons' devices send them, without persons: for tests of the provider's side."""

import asyncio
from datetime import date

from chez import inboxes
from chez.crypto import SigningKey
from chez_sandbox.bundle import Bundle
from chez_sandbox.provider.keys import ProviderKeys
from chez_sandbox.release.release import Address, build_message
from tests.jobs.test_grants import bundle

__all__ = ("BUNDLE", "KEYS", "message", "put")

KEYS = ProviderKeys(
    name="Example Energy Advice", contact="privacy@example.org", domain="example.org", relay="ws://127.0.0.1:9",
    signing_seed="01" * 32, sealing_seed="02" * 32, inbox_owner_seed="03" * 32, inbox_writer_seed="04" * 32,
)  # fmt: skip
"""The keys of `tests.jobs.samples`."""

BUNDLE = bundle()
"""A job of theirs whose result is `{"watts": 0 ... 10000}`."""


def message(
    sequence: int,
    *,
    result: bytes | None = b'{"watts":300}',
    of: Bundle = BUNDLE,
    keys: ProviderKeys = KEYS,
    consent: bytes = bytes([5]) * 32,
) -> bytes:
    """The message of one run of one person; None for "none"."""
    address, pseudonym = Address(keys.sealing.public, keys.inbox), SigningKey.from_seed(bytes([7]) * 32)
    return build_message(
        of.manifest.schema, address, pseudonym, grant=bytes(16), sequence=sequence, run_date=date(2026, 11, 24),
        bundle=of.hash, consent=consent, result=result,
    )  # fmt: skip


def put(keys: ProviderKeys, *items: bytes) -> None:
    """Put items into a provider's inbox."""

    async def each() -> None:
        for item in items:
            await inboxes.put(keys.relay, keys.inbox, keys.inbox_writer, item)

    asyncio.run(each())
