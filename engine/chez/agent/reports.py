"""What is kept of an error that nobody expected.

The person sees one line and where the details are. The details are the error's type and
where it was raised, without its message: a message may quote a record, and this file is
not encrypted.
"""

import contextlib
import os
import traceback
from pathlib import Path
from typing import Final

__all__ = ("FILE_NAME", "describe", "write")

FILE_NAME: Final = "unexpected.txt"
MAX_BYTES: Final = 256 * 1024
"""The file starts anew beyond this size."""


def describe(error: BaseException) -> str:
    """The type of an error and its causes, with the frames they came through."""
    lines: list[str] = []
    seen: set[int] = set()
    pending: list[tuple[str, BaseException]] = [("", error)]
    while pending and len(seen) < 16:
        relation, current = pending.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        lines.append(f"{relation}{type(current).__module__}.{type(current).__qualname__}")
        lines.extend(f"  {frame.filename}:{frame.lineno} in {frame.name}"
                     for frame in traceback.extract_tb(current.__traceback__))
        if current.__cause__ is not None:
            pending.append(("caused by ", current.__cause__))
        elif current.__context__ is not None and not current.__suppress_context__:
            pending.append(("while handling ", current.__context__))
        if isinstance(current, BaseExceptionGroup):
            pending.extend(("containing ", inner) for inner in current.exceptions)
    return "\n".join(lines) + "\n"


def write(folder: Path, error: BaseException, when: str) -> Path | None:
    """Append the details to a private file in `folder`; None when that fails."""
    path = folder / FILE_NAME
    with contextlib.suppress(OSError):
        fresh = os.O_TRUNC if path.exists() and path.stat().st_size > MAX_BYTES else 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | fresh
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(f"{when}\n{describe(error)}\n")
        return path
    return None
