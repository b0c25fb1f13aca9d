"""Verbs that keep a home's data safe: export, backup, doctor."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from chez.agent.asking import Params, plain, read_params, reporting
from chez.agent.ui import Ui

if TYPE_CHECKING:
    from chez.agent.verbs import Verb
    from chez.home import Home

__all__ = ("VERBS",)


class _Export(Params, frozen=True, kw_only=True):
    path: str
    history: bool = False


async def export(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Write all records into a new folder (an absolute path) as JSON Lines."""
    asked = read_params(params, _Export)
    async with reporting(ui, "export") as progress:
        return plain(await home.export(asked.path, history=asked.history, progress=progress))


class _Backup(Params, frozen=True, kw_only=True):
    path: str
    verify: bool = False


async def backup(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Write everything into one encrypted, signed file (an absolute path)."""
    asked = read_params(params, _Backup)
    async with reporting(ui, "backup") as progress:
        return plain(await home.backup(asked.path, verify=asked.verify, progress=progress))


VERBS: Final[Mapping[str, "Verb"]] = {"backup": backup, "export": export}
