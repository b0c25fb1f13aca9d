"""Verbs about what opens a home: passphrase and keyring."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from chez.agent.asking import Params, read_params
from chez.agent.ui import Ui

if TYPE_CHECKING:
    from chez.agent.verbs import Verb
    from chez.crypto import Kdf
    from chez.home.home import Home

__all__ = ("VERBS", "cost_named")

Cost = Literal["moderate", "sensitive"]


class _Change(Params, frozen=True, kw_only=True):
    old: str
    new: str
    cost: Cost | None = None

    def __repr__(self) -> str:
        return f"<change of a passphrase, cost {self.cost}>"  # it holds two


async def passphrase_change(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Change the passphrase; `old` must be the one it has."""
    asked = read_params(params, _Change)
    await home.change_passphrase(asked.old, asked.new, kdf=cost_named(asked.cost))
    return {"changed": True}


async def keyring_add(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Let the operating system's keyring open the home."""
    read_params(params, Params)
    return {"backend": await home.keyring.add()}


async def keyring_remove(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The keyring opens the home no longer."""
    read_params(params, Params)
    return {"removed": await home.keyring.remove()}


def cost_named(name: str | None) -> "Kdf | None":
    """The cost of this name; None is as it was."""
    from chez.crypto import Kdf

    costs = {"moderate": Kdf.moderate, "sensitive": Kdf.sensitive}
    return None if name is None else costs[name]()


VERBS: Final[Mapping[str, "Verb"]] = {
    "keyring-add": keyring_add, "keyring-remove": keyring_remove, "passphrase-change": passphrase_change,
}
