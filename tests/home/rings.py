"""Keyrings for the tests, through keyring's public interface: in memory, in a file, and some that misbehave."""

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

__all__ = ("Deaf", "FileRing", "Locked", "MemoryRing")


class MemoryRing(KeyringBackend):
    """Keeps what it is given, in memory."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    @property
    def name(self) -> str:  # type: ignore[override]
        """What people call it."""
        return "memory ring"

    def get_password(self, service: str, username: str) -> str | None:
        """What is kept."""
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep it."""
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        """Keep it no longer."""
        if self.kept.pop((service, username), None) is None:
            raise PasswordDeleteError


class FileRing(MemoryRing):
    """Keeps it in the file that CHEZ_TEST_RING names, so that several processes share it."""

    @property
    def name(self) -> str:  # type: ignore[override]
        """What people call it."""
        return "file ring"

    def _load(self) -> None:
        path = Path(os.environ["CHEZ_TEST_RING"])
        self.kept = {(s, u): p for s, u, p in json.loads(path.read_text())} if path.exists() else {}

    def _save(self) -> None:
        Path(os.environ["CHEZ_TEST_RING"]).write_text(json.dumps([[*at, p] for at, p in self.kept.items()]))

    def get_password(self, service: str, username: str) -> str | None:
        """What is kept."""
        self._load()
        return super().get_password(service, username)

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep it."""
        self._load()
        super().set_password(service, username, password)
        self._save()

    def delete_password(self, service: str, username: str) -> None:
        """Keep it no longer."""
        self._load()
        super().delete_password(service, username)
        self._save()


class Locked(MemoryRing):
    """Is locked, and nobody unlocks it."""

    def get_password(self, service: str, username: str) -> str | None:
        """Refuse."""
        raise KeyringLocked("the secret text of the error")

    set_password = delete_password = get_password  # type: ignore[assignment]


class Deaf(MemoryRing):
    """Takes everything and keeps nothing, as keyring's own null backend does."""

    def set_password(self, service: str, username: str, password: str) -> None:
        """Forget it."""
