"""Verbs that keep a home's data safe: export, backup, doctor."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from chez.agent.asking import Params, Placed, plain, read_params, reporting
from chez.agent.ui import Ui

if TYPE_CHECKING:
    from chez.agent.verbs import Verb
    from chez.home.examine import Finding
    from chez.home.home import Home

__all__ = ("VERBS", "plain_finding")


class _Export(Placed, frozen=True, kw_only=True):
    path: str
    history: bool = False


async def export(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Write all records into a new folder (an absolute path) as JSON Lines."""
    asked = read_params(params, _Export)
    async with reporting(ui, "export") as progress:
        what = home if asked.space is None else asked.of(home)
        return plain(await what.export(asked.path, history=asked.history, progress=progress))


class _Backup(Params, frozen=True, kw_only=True):
    path: str
    verify: bool = False


async def backup(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Write everything into one encrypted, signed file (an absolute path)."""
    asked = read_params(params, _Backup)
    async with reporting(ui, "backup") as progress:
        return plain(await home.backup(asked.path, verify=asked.verify, progress=progress))


async def doctor(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """What is wrong with the home's store; mending needs the home for itself."""
    read_params(params, Params)
    async with reporting(ui, "doctor") as progress:
        return [plain_finding(one) for one in await home.examine(progress=progress)]


def plain_finding(finding: "Finding") -> dict[str, Any]:
    """A finding for programs."""
    return {"kind": finding.kind, "where": finding.where, "meaning": finding.meaning, "cure": finding.cure,
            "harm": finding.harm}


VERBS: Final[Mapping[str, "Verb"]] = {"backup": backup, "doctor": doctor, "export": export}
