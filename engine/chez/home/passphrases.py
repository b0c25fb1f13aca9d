"""Changing the passphrase of a home that nobody has open."""

from pathlib import Path

from chez import crypto
from chez.checked import checked
from chez.errors import InvalidValue
from chez.home.lifecycle import open

__all__ = ("change_passphrase",)


@checked
async def change_passphrase(path: Path | str, old: str, new: str, *, kdf: crypto.Kdf | None = None) -> None:
    """Let `new` open a home instead of `old`; of an open home see `Home.change_passphrase`.

    Only the key file is written: the store and its key stay. Killed at any instant, one of
    the two opens the home; who gives up finds it changed, with its receipt, or as it was.
    Copies of the old key file, backups among them, go on opening with the old passphrase.
    `kdf` is what guessing costs; by default as it was. Raises `InvalidValue` for an empty
    passphrase, and as `open` does.
    """
    if not new:
        raise InvalidValue("an empty passphrase protects nothing", "Choose a longer one.")
    async with open(path, passphrase=old) as home:
        await home.change_passphrase(old, new, kdf=kdf)
