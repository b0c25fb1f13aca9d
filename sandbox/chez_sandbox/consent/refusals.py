"""Saying no to a job is the person's word too, and stands in the journal."""

from typing import TYPE_CHECKING

from chez_sandbox.bundle import Bundle

if TYPE_CHECKING:
    from chez.home.home import Home
    from chez.journal import Receipt

__all__ = ("refuse_job",)


async def refuse_job(home: "Home", bundle: Bundle) -> "Receipt":
    """Receipt that the person refused a job. Nothing is told to its provider, and it may be granted later."""
    manifest = bundle.manifest
    return await home.journal.append(
        "grant-refused",
        {
            "job": manifest.id,
            "version": manifest.version,
            "name": manifest.name,
            "provider": manifest.provider.signing_key,
            "provider_name": manifest.provider.name,
            "purpose": manifest.purpose.dpv,
            "bundle": bundle.hash.hex(),
        },
    )
