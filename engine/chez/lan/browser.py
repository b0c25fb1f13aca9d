"""The library's browser of a service, held to names that somebody could be met by, and to so many of them.

Anybody may announce names without end, and of any bytes. The library remembers each for as long as its announcement
says, decades if it likes. What it knows of it also says with each question, so that nobody answers it (RFC 6762, 7.1);
and a name that fits in no packet, for its letters became longer when they were read, ended all its questions.
"""

from collections.abc import Callable
from typing import Any, Final

from zeroconf import RecordUpdate, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser
from zeroconf.const import _TYPE_PTR

__all__ = ("MAX_NAMES", "Browser")

MAX_NAMES: Final = 1024
"""Names of a service that are known at once: far beyond what a network has, and a question tells them in 70 KB."""


class Browser(AsyncServiceBrowser):
    """Asks who announces a service, and has `changed` told of names that are `fit`, and of no others.

    `full` is called for each name beyond so many.
    """

    def __init__(self, zeroconf: Zeroconf, service: str, changed: Callable[..., None], fit: Callable[[str], bool],
                 full: Callable[[], None]) -> None:
        self._service, self._fit, self._full = service.lower(), fit, full
        self._names: set[str] = set()
        self._refused: list[Any] = []
        super().__init__(zeroconf, service, handlers=[changed])

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Records came, or went."""
        super().async_update_records(zc, now, [one for one in records if self._takes(one.new, now)])

    def async_update_records_complete(self) -> None:
        """They are known now: those that were refused not any more."""
        cache, refused, self._refused = self.zc.cache, self._refused, []
        # One may have come twice in a packet, or have gone again.
        cache.async_remove_records({one for one in refused if cache.async_get_unique(one) is not None})
        super().async_update_records_complete()

    def _takes(self, record: Any, now: float) -> bool:
        if record.type != _TYPE_PTR or record.key != self._service:
            return True
        name = record.alias
        if record.is_expired(now):
            self._names.discard(name)
        elif name not in self._names:
            fit = self._fit(name)
            if not fit or len(self._names) >= MAX_NAMES:
                self._refused.append(record)
                if fit:
                    self._full()
                return False
            self._names.add(name)
        return True
