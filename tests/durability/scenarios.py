"""All scenarios, by name."""

from typing import Final

from tests.durability import keeping, records, relaying, syncing, upgrading
from tests.durability.scene import PASSPHRASE, Place, Scenario

__all__ = ("PASSPHRASE", "SCENARIOS", "Place", "Scenario")

SCENARIOS: Final[dict[str, Scenario]] = {
    "create": records.CREATING,
    "passphrase": records.PASSPHRASE_CHANGE,
    "write": records.WRITING,
    "import": records.IMPORTING,
    "attach": keeping.ATTACHING,
    "export": keeping.EXPORTING,
    "backup": keeping.BACKING_UP,
    "restore": keeping.RESTORING,
    "mend": keeping.MENDING,
    "salvage": keeping.SALVAGING,
    "renew": keeping.RENEWING,
    "receive": syncing.RECEIVING,
    "send": syncing.SENDING,
    "relay": relaying.STORING,
    "relay log": relaying.WRITING_BACK,
    "upgrade": upgrading.UPGRADING,
}
