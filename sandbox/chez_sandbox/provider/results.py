"""Taking results from the inbox: open, check, keep, and only then let the relay forget.

Each message becomes one line of a JSON Lines file, written through to the disk before it
is acknowledged; a message that comes twice (a lost acknowledgement, a relay that repeats)
is recognised by grant and sequence, across restarts, and kept once. What does not open is
kept as a line too, with the reason, and never stops what follows.
"""

import base64
import json
import math
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chez.errors import StorageFailed
from chez_sandbox.bundle import Bundle
from chez_sandbox.job_errors import MessageInvalid, ResultRefused
from chez_sandbox.provider.keys import ProviderKeys
from chez_sandbox.release.release import Release, message_size, open_message
from chez_sandbox.release.strict_json import read_json

__all__ = ("ResultBook",)


class ResultBook:
    """The file of results: `keep` is durable when it returns."""

    def __init__(self, path: Path, keys: ProviderKeys, bundles: Iterable[Bundle] = ()) -> None:
        self._path = path
        self._keys = keys
        self._bundles: Mapping[bytes, Bundle] = {bundle.hash: bundle for bundle in bundles}
        self._seen: set[tuple[str, str, int]] = set()

    def __enter__(self) -> Self:
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._read_back()
        except OSError as error:
            raise StorageFailed(f"{self._path} can't be used: {error.strerror}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def _read_back(self) -> None:
        text = self._path.read_bytes()
        for line in text.splitlines():
            try:
                kept = json.loads(line)
                self._seen.add((kept["pseudonym"], kept["grant"], kept["sequence"]))
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # a line cut by a crash, or one that did not open
        if text and not text.endswith(b"\n"):
            os.write(self._file, b"\n")

    def keep(self, item: bytes, now: datetime) -> dict[str, Any] | None:
        """Open a message and keep it; the line written, or None for one that was kept before."""
        line: dict[str, Any] = {"received": now.astimezone(UTC).isoformat(timespec="seconds")}
        try:
            release = open_message(item, self._keys.sealing, self._keys.inbox)
            if (key := (release.pseudonym.hex(), release.grant.hex(), release.sequence)) in self._seen:
                return None
            self._seen.add(key)
            line |= self._opened(release, len(item))
        except (MessageInvalid, ResultRefused) as error:
            line |= {"outcome": "invalid", "problem": error.message, "item": base64.b64encode(item).decode()}
        self._append(json.dumps(line) + "\n")
        return line

    def _opened(self, release: Release, size: int) -> dict[str, Any]:
        bundle = self._bundles.get(release.bundle)
        if bundle is not None:
            self._require_fitting(bundle, release, size)
        return {
            "outcome": release.outcome,
            "result": _plain(release.result) if release.outcome == "result" else None,
            "job": bundle.manifest.id if bundle else None,
            "version": bundle.manifest.version if bundle else None,
            "run_date": release.run_date,
            "sequence": release.sequence,
            "grant": release.grant.hex(),
            "pseudonym": release.pseudonym.hex(),
            "bundle": release.bundle.hex(),
            "bytes": size,
        }

    def _require_fitting(self, bundle: Bundle, release: Release, size: int) -> None:
        """Whoever has the bundle can write to the inbox: hold every message against the schema."""
        schema = bundle.manifest.schema
        if size != message_size(schema):
            raise MessageInvalid(f"the message has {size} bytes, not the {message_size(schema)} of its job")
        if release.outcome == "result" and schema.admit(release.result).encoded != release.result:
            raise MessageInvalid("the result is not in canonical form")

    def _append(self, text: str) -> None:
        try:
            os.write(self._file, text.encode())
            os.fsync(self._file)
        except OSError as error:
            raise StorageFailed(f"{self._path} can't be written: {error.strerror}") from None


def _plain(result: bytes) -> object:
    read_json(result)  # refuses what Python's reader would tolerate
    return json.loads(result, parse_float=_finite)


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ResultRefused("result", "has a number larger than JSON's readers take")
    return number
