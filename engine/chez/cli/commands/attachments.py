"""attach, fetch, blob: files beside records."""

import os
from pathlib import Path
from typing import Any

import click

from chez.cli.client import call
from chez.cli.context import in_space, settings
from chez.cli.terminal import json_line, say, table
from chez.errors import InvalidValue, NotFound
from chez.shown import NO_FILE

__all__ = ("attach", "blob", "fetch")


@click.command()
@click.argument("collection")
@click.argument("identity", metavar="ID")
@click.argument("field")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--type", "media_type", metavar="TYPE", help="What it is, such as image/png. Default: by its name.")
@click.option("--name", help="The name it is kept under. Default: the file's.")
@in_space
@click.pass_context
def attach(ctx: click.Context, collection: str, identity: str, field: str, file: Path, media_type: str | None,
           name: str | None) -> None:
    """Attach a file of any size to a record: FIELD then holds it.

    It is encrypted, leaves with the next sync, and is fetched by other devices when they
    want it. A content that is here already takes no more room.
    """
    # The owner has another working directory, and it must not be told to read what we can't.
    if not file.exists():
        raise NotFound(f"there is no file {file}", NO_FILE)
    if not os.access(file, os.R_OK):
        raise InvalidValue(f"{file} can't be read", "check its permissions")
    done = call(ctx, "attach", {"collection": collection, "id": identity, "field": field,
                                "path": os.path.abspath(file), "media_type": media_type, "name": name or file.name},
                stands="the record has it only if all of it was taken in: chez get shows it")
    json_line(done) if settings(ctx).json else say(f"attached {done['size']:,} bytes of {done['type']}")


@click.command()
@click.argument("collection")
@click.argument("identity", metavar="ID")
@click.argument("field")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--force", is_flag=True, help="Write over a file that exists.")
@in_space
@click.pass_context
def fetch(ctx: click.Context, collection: str, identity: str, field: str, file: Path | None, force: bool) -> None:
    """Write the attachment in FIELD to a file; without FILE under its own name, here.

    What is not on this device comes from the relay. Every piece is checked, and the file
    appears when all of it is there.
    """
    done = call(ctx, "fetch", {"collection": collection, "id": identity, "field": field, "overwrite": force,
                               "path": os.path.abspath(file or "."), "into_folder": file is None},
                stands="the file is there only if it is whole; what came of it stays on this device")
    json_line(done) if settings(ctx).json else say(f"{done['path']}: {done['size']:,} bytes")


@click.group()
def blob() -> None:
    """What is kept of attachments on this device."""


@blob.command()
@in_space
@click.pass_context
def status(ctx: click.Context) -> None:
    """Count the attachments: known, whole on this device, and not at the relay yet."""
    _tell(ctx, call(ctx, "blob-status", {}))


def _keep(ctx: click.Context, do: str, collection: str, identity: str, field: str) -> None:
    _tell(ctx, call(ctx, "blob-keep", {"collection": collection, "id": identity, "field": field, "do": do}))


def _tell(ctx: click.Context, found: dict[str, Any]) -> None:
    if settings(ctx).json:
        json_line(found)
    else:
        table(("", ""), list(found.items()))


@blob.command()
@click.argument("collection")
@click.argument("identity", metavar="ID")
@click.argument("field")
@in_space
@click.pass_context
def info(ctx: click.Context, collection: str, identity: str, field: str) -> None:
    """Show how the attachment in FIELD stands."""
    _keep(ctx, "info", collection, identity, field)


@blob.command()
@click.argument("collection")
@click.argument("identity", metavar="ID")
@click.argument("field")
@in_space
@click.pass_context
def pin(ctx: click.Context, collection: str, identity: str, field: str) -> None:
    """Fetch all of the attachment in FIELD, and keep it on this device."""
    _keep(ctx, "pin", collection, identity, field)


@blob.command()
@click.argument("collection")
@click.argument("identity", metavar="ID")
@click.argument("field")
@in_space
@click.pass_context
def unpin(ctx: click.Context, collection: str, identity: str, field: str) -> None:
    """Let the attachment in FIELD be given up again; what is here stays for now."""
    _keep(ctx, "unpin", collection, identity, field)


@blob.command()
@click.argument("collection")
@click.argument("identity", metavar="ID")
@click.argument("field")
@in_space
@click.pass_context
def evict(ctx: click.Context, collection: str, identity: str, field: str) -> None:
    """Free the room of the attachment in FIELD on this device; it is fetched again when it is read."""
    _keep(ctx, "evict", collection, identity, field)
