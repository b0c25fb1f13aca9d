"""The version of the program."""

from importlib import metadata

__all__ = ("release",)


def release() -> str:
    """The installed version, or "unpackaged" where the modules were only copied (as in the container)."""
    try:
        return metadata.version("chez")
    except metadata.PackageNotFoundError:
        return "unpackaged"
