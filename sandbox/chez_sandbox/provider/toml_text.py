"""Writing the little TOML that `chez-job` writes."""

import json

__all__ = ("quoted",)


def quoted(text: str) -> str:
    """A TOML basic string. JSON's escapes are a subset of TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
