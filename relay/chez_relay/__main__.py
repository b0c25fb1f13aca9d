"""`python -m chez_relay` is `chez-relay`."""

import os
import signal
import sys

__all__ = ("main",)


def main() -> None:
    """Run `chez-relay` and end the process; Ctrl-C while Python imports it is told as later."""
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # a shell's background job ignores it
    if heard:
        signal.signal(signal.SIGINT, _end)
    from chez_relay.cli import main as begin

    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    begin(prog_name="chez-relay")


def _end(*_: object) -> None:
    """At once: what `ending.py` tells it with is not there yet. An exception would be lost in some imports."""
    told = ('{"error": {"code": "Interrupted", "message": "interrupted", "hint": ""}}' if "--json" in sys.argv
            else "chez-relay: interrupted")
    try:
        os.write(2, f"{told}\n".encode())
    finally:
        os._exit(130)


if __name__ == "__main__":
    main()
