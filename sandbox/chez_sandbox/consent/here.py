"""Which device runs a grant: the one that it names, and no other."""

from datetime import date
from typing import TYPE_CHECKING

from chez_sandbox.consent.catalogue import refused
from chez_sandbox.consent.grant import Granted
from chez_sandbox.job_errors import GrantEnded

if TYPE_CHECKING:
    from chez.home.home import Home

__all__ = ("device_names", "require_here")


async def device_names(home: "Home") -> dict[str, str]:
    """What the person's devices are called, those that were removed included, by their ids in hexadecimal."""
    return {info.id.hex(): info.name for info in await home.devices.all()}


async def require_here(home: "Home", granted: Granted, today: date) -> None:
    """Raise `GrantEnded` that names the device which runs a grant, where it is another one and may run it today."""
    grant = granted.grant
    if granted.state(home.device_id, today, 0) == "elsewhere":
        device = (await device_names(home)).get(grant.device, grant.device[:8])
        raise refused(GrantEnded, "elsewhere-named", device=device, grant=grant.id[:8])
