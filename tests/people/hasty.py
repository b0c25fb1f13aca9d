"""`chez-relay` that lets go of what is dropped in a second; run as `python -m tests.people.hasty ...`.

On a cluster it stays for forty seconds at least, whatever the settings say.
"""

import sys
from typing import Final

from chez_relay.cli import main
from chez_relay.storage.jetstream import store

__all__ = ("HASTY", "IN_A_SECOND")

HASTY: Final = (sys.executable, "-m", "tests.people.hasty")
IN_A_SECOND: Final = ("--set", "quotas.grace=1", "--set", "limits.expiry_interval=0.2")


if __name__ == "__main__":
    store.LEAST_GRACE = 1.0  # type: ignore[misc]
    sys.exit(main())
