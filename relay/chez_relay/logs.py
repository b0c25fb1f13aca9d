"""The log of a relay: events and numbers. No handle, address, key or content is ever given to it."""

import json
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path

__all__ = ("JsonLines", "TextLines", "begin")


class JsonLines(logging.Formatter):
    """Each event is one JSON object on a line: when, how bad, what, and the numbers that were given as `numbers`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of one event."""
        event = {"at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
                 "level": record.levelname.lower(), "event": record.getMessage()}
        if record.exc_info and record.exc_info[0] is not None:
            event["exception"] = record.exc_info[0].__name__  # its text might quote anything
        return json.dumps(event | getattr(record, "numbers", {}), ensure_ascii=False)


class TextLines(logging.Formatter):
    """Each event is one line of text, with its numbers at the end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line of one event."""
        numbers = ", ".join(f"{name} {number}" for name, number in getattr(record, "numbers", {}).items())
        return super().format(record) + (f" ({numbers})" if numbers else "")


class _File(WatchedFileHandler):
    """A file that may be moved away. While it can't be opened again, or its disk is full, events go to standard error:
    the library would raise the one at whoever has something to say, and show the other with a page of its own code for
    each event; and a relay serves without its log as well."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, encoding="utf-8")
        self._instead = logging.StreamHandler()
        self._lost = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write one event."""
        try:
            super().emit(record)
            self._lost = False
        except OSError as error:
            self._instead.setFormatter(self.formatter)
            if not self._lost:
                self._lost = True
                why = "the log file can't be written: %s. The log goes to standard error until it can"
                self._instead.emit(logging.LogRecord(
                    record.name, logging.ERROR, "", 0, why, (error.strerror,), None))
            self._instead.emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """An event could not be written, as is being handled here: `emit` hears of it, and the file is opened anew."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        stream, self.stream = self.stream, None  # as before the library opened one
        self.dev = self.ino = -1
        if stream is not None:
            with suppress(OSError):  # what is left in it is lost
                stream.close()
        raise error


def begin(layout: str, file: str) -> None:
    """Log from now on as "text" or "json", to a file (which may be moved away, to be rotated) or to standard error."""
    handler = _File(Path(file)) if file else logging.StreamHandler()
    handler.setFormatter(JsonLines() if layout == "json" else TextLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it names addresses
