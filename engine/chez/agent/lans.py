"""The verbs of `chez lan`: sync with devices on the same network."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from chez.agent.asking import Params, plain, read_params
from chez.agent.ui import Ui

if TYPE_CHECKING:
    from chez.agent.verbs import Verb
    from chez.home.home import Home

__all__ = ("VERBS",)


async def lan_on(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Find devices on the same network, and be found, while the home is connected."""
    read_params(params, Params)
    await home.lan.on()
    return plain(await home.lan.status())


async def lan_off(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Neither find nor be found any more."""
    read_params(params, Params)
    await home.lan.off()
    return plain(await home.lan.status())


async def lan_status(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """How it stands."""
    read_params(params, Params)
    return plain(await home.lan.status())


VERBS: Final[Mapping[str, "Verb"]] = {"lan-off": lan_off, "lan-on": lan_on, "lan-status": lan_status}
