"""The addresses that are dialled: a relay's URL and, where there are any, the pins of its key behind a `#`.

Who has an address has its pins with it, so no way to a relay forgets them. Relays are known, listed and compared
by their URLs alone.
"""

from collections.abc import Sequence

from chez.errors import InvalidValue
from chez_wire.errors import WireError
from chez_wire.pins import MAX_PINS, check_pin

__all__ = ("check_pins", "join", "split")


def join(url: str, pins: Sequence[str]) -> str:
    """The address of a relay whose key is one of these, or any without pins."""
    return f"{url}#{','.join(pins)}" if pins else url


def split(address: str) -> tuple[str, tuple[str, ...]]:
    """The URL of an address, and its pins. Raises `InvalidValue` for pins that are none."""
    url, mark, said = address.partition("#")
    return url, check_pins(url, said.split(",")) if mark else ()


def check_pins(url: str, pins: Sequence[str]) -> tuple[str, ...]:
    """Pins as they are kept, each once.

    Raises `InvalidValue` for what is no pin, for more than eight, and for an address without TLS.
    """
    try:
        found = tuple(dict.fromkeys(check_pin(pin) for pin in pins))
    except WireError as error:
        raise InvalidValue(str(error), "The relay's operator has it from `chez-relay pin`.") from None
    if len(found) > MAX_PINS:
        raise InvalidValue(f"a relay has at most {MAX_PINS} pins, not {len(found)}")
    if found and not url.startswith("wss://"):
        raise InvalidValue(f"{url} has no certificate that could be pinned", "A pin is for a wss:// address.")
    return found
