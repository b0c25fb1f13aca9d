"""Names that people give: to devices, spaces, others, themselves."""

from chez.errors import InvalidValue

__all__ = ("check_name",)


def check_name(name: str, whose: str) -> str:
    """The name, if it can be that of a device, space, contact, person (`whose`). Raises `InvalidValue`."""
    if not isinstance(name, str) or not 1 <= len(name) <= 64 or not name.isprintable() or name != name.strip():
        raise InvalidValue(f"{name!r} can't be a {whose}'s name",
                           "Use 1 to 64 printable characters, no blank first or last.")
    return name
