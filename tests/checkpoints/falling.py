"""A relay that is killed (SIGKILL) at one step of a drop; run as `python -m tests.checkpoints.falling WHERE ...`.

Behind WHERE are the arguments of `chez-relay`.
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from chez_relay.cli import main
from chez_relay.storage import Request, Result
from chez_relay.storage.dropped_rows import DroppedRows
from chez_relay.storage.tables import Tables

__all__ = ("FALLS",)

FALLS = ("within drop", "after drop", "within remove", "after remove", "within release", "after release")
"""Within the transaction that notes a drop, removes entries or lets chunks go; or when that is committed."""


def _arm(where: str) -> None:
    moment, what = where.split()
    method = {"drop": "drop", "remove": "_remove", "release": "_release"}[what]
    plain, perform = getattr(DroppedRows, method), Tables.perform
    done = False

    def noted(self: DroppedRows, *args: Any) -> Any:
        nonlocal done
        result = plain(self, *args)
        if moment == "within":
            os.kill(os.getpid(), signal.SIGKILL)
        done = True
        return result

    def performed(self: Tables, requests: Sequence[Request]) -> list[Result]:
        results = perform(self, requests)
        if done:
            os.kill(os.getpid(), signal.SIGKILL)
        return results

    setattr(DroppedRows, method, noted)
    setattr(Tables, "perform", performed)  # noqa: B010


if __name__ == "__main__":
    _arm(sys.argv.pop(1))
    sys.exit(main())
