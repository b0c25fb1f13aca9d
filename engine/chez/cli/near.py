"""A verb on a home that this process opens for it (no owner runs)."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from chez.agent.ui import NearUi
from chez.agent.verbs import find

if TYPE_CHECKING:
    from chez.agent.ui import Face

__all__ = ("run_near",)


def run_near(path: Path, passphrase: str | None, face: "Face", verb: str, params: dict[str, Any]) -> Any:
    """Open the home, run one verb, close it. Raises what either raises."""
    import chez

    function = find(verb)

    async def run() -> Any:
        async with chez.open(path, passphrase=passphrase) as home:
            return msgspec.to_builtins(await function(home, params, NearUi(face)))

    return asyncio.run(run())
