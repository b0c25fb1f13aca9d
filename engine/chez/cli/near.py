"""A verb on a home that this process opens for it (no owner runs)."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from chez.agent.ui import NearUi
from chez.agent.verbs import find

if TYPE_CHECKING:
    from chez.agent.ui import Face

__all__ = ("run_near",)


def run_near(path: Path, passphrase: str | None, face: "Face", verb: str, params: dict[str, Any]) -> Any:
    """Open the home, run one verb, close it; where nothing can be written, for reading only. Raises what either raises.
    """
    import chez

    function, read_only = find(verb), not os.access(path, os.W_OK)

    async def run() -> Any:
        async with chez.open(path, passphrase=passphrase, read_only=read_only) as home:
            return msgspec.to_builtins(await function(home, params, NearUi(face)))

    return asyncio.run(run())
