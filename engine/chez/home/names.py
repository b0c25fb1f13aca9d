"""Names that people give: to devices, spaces, others, themselves, and to folders and files."""

from pathlib import Path

from chez.errors import InvalidValue

__all__ = ("check_name", "check_path")


def check_name(name: str, whose: str) -> str:
    """The name, if it can be that of a device, space, contact, person (`whose`). Raises `InvalidValue`."""
    if not isinstance(name, str) or not 1 <= len(name) <= 64 or not name.isprintable() or name != name.strip():
        raise InvalidValue(f"{name!r} can't be a {whose}'s name",
                           "Use 1 to 64 printable characters, no blank first or last.")
    return name


def check_path(path: Path) -> None:
    """Raise `InvalidValue` for a path that is no text: no receipt could tell of it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InvalidValue(f"{str(path)!r} is no text in UTF-8, so that the journal could not tell of it",
                           "Choose another place, or rename the folder.") from None
