"""The verbs of `chez relay`: which relays keep what this home has."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from chez.agent.asking import Params, plain, read_params
from chez.agent.ui import Ui

if TYPE_CHECKING:
    from chez.agent.verbs import Verb
    from chez.home.home import Home

__all__ = ("VERBS",)


class _Url(Params, frozen=True, kw_only=True):
    url: str
    here: bool = False


class _Pinned(Params, frozen=True, kw_only=True):
    url: str
    pins: list[str] | None = None
    here: bool = False


class _Pins(Params, frozen=True, kw_only=True):
    url: str
    pins: list[str]


class _Token(Params, frozen=True, kw_only=True):
    url: str
    token: str

    def __repr__(self) -> str:
        return f"<a token for {self.url}>"


class _MaybeUrl(Params, frozen=True, kw_only=True):
    url: str | None = None
    pins: list[str] | None = None
    here: bool = False


async def relay_set(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Set the relay that the home is known by; without a url, tell which it is."""
    asked = read_params(params, _MaybeUrl)
    if asked.url is not None:
        await home.relays.set(asked.url, pins=asked.pins, here=asked.here)
    return {"relay": home.relay}


async def relay_list(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """How the connection to each relay stands, and to the devices of this network, which are relays as well."""
    read_params(params, Params)
    return {"relays": plain((await home.status()).relays), "lan": plain(await home.lan.status())}


async def relay_add(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Keep everything at one more relay."""
    asked = read_params(params, _Pinned)
    await home.relays.add(asked.url, pins=asked.pins, here=asked.here)
    return {"relays": plain((await home.status()).relays)}


async def relay_pin(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Say which keys a relay may have."""
    asked = read_params(params, _Pins)
    await home.relays.pin(asked.url, asked.pins)
    return {"relay": asked.url, "pins": list(home.relays.pins(asked.url))}


async def relay_token(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Remember the token that a relay's operator gave out."""
    asked = read_params(params, _Token)
    await home.relays.token(asked.url, asked.token)
    return {"relay": asked.url}


async def relay_remove(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Keep in step with a relay no more."""
    asked = read_params(params, _Url)
    unheard = await home.relays.remove(asked.url, here=asked.here)
    return {"relays": plain((await home.status()).relays), "unheard": list(unheard)}


VERBS: Final[Mapping[str, "Verb"]] = {
    "relay-add": relay_add, "relay-list": relay_list, "relay-pin": relay_pin,
    "relay-remove": relay_remove, "relay-set": relay_set,
    "relay-token": relay_token,
}
