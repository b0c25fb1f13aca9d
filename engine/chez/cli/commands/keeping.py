"""export, backup, restore, doctor: what a home holds, out of it and back, and sound."""

import asyncio
import os
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from chez.agent.keeping import plain_finding
from chez.agent.paths import connect
from chez.cli.client import call
from chez.cli.context import in_space, settings
from chez.cli.terminal import json_line, say, when
from chez.errors import HomeBusy, NotFound
from chez.phrasing import how_many
from chez.shown import NO_FILE

__all__ = ("backup", "doctor", "export", "refuse_owned", "restore")

FINDINGS_SHOWN: Final = 40


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--history", is_flag=True, help="Also every change of every record, deleted ones included.")
@in_space
@click.pass_context
def export(ctx: click.Context, folder: Path, history: bool) -> None:
    """Write everything into a new folder as plain JSON Lines, one file a collection, and attachments as files.

    Any program can read it, and chez import brings it back, here or into another home. The
    folder appears when it is complete. It is NOT encrypted; the journal notes that it was made.
    The list of relays is not in it: their operators' tokens would be readable.
    Spaces other than the private one are folders of their own in it; --space exports one alone.
    """
    done = call(ctx, "export", {"path": os.path.abspath(folder), "history": history},
                stands=f"{folder} is there only if it is whole")
    if settings(ctx).json:
        json_line(done)
        return
    changes = f" and {how_many(done['changes'], 'change')}" if history else ""
    attachments = f", with {how_many(done['attachments'], 'attachment')}" if done["attachments"] else ""
    said = f"{how_many(done['records'], 'record')}{changes}{attachments}"
    say(f"{folder} has {said}, readable by anybody who can open that folder")
    if done["missing"]:
        lacks = how_many(done["missing"], "attachment is", "attachments are")
        say(f"{lacks} not in it, not being whole on this device: chez fetch gets what is missing")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--verify", is_flag=True, help="Restore it to try, and check what came out.")
@click.pass_context
def backup(ctx: click.Context, file: Path, verify: bool) -> None:
    """Write everything into one new file, encrypted and signed; chez restore brings it back.

    It opens with the passphrase that this home has now, and needs nothing else: keep both.
    """
    done = call(ctx, "backup", {"path": os.path.abspath(file), "verify": verify},
                stands=f"{file} is there only if it is whole")
    if settings(ctx).json:
        json_line(done)
    else:
        say(f"{file} holds this home, {done['bytes']:,} bytes{', tried by restoring it' if verify else ''}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("path", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", help="What the new device is called. Default: as the one in the backup.")
@click.option("--kdf", type=click.Choice(["moderate", "minimum"]), default="moderate", hidden=True)
@click.pass_context
def restore(ctx: click.Context, file: Path, path: Path, name: str | None, kdf: str) -> None:
    """Make a home in a new folder PATH from a backup.

    It is a new device of yours, also where the one in the backup lives on: both can go on.
    What that one had not sent yet goes out with the next sync, once the relay was read.
    Grants and allowances stay with the device they were given to.
    """
    import chez
    from chez.cli import passphrases
    from chez.cli.commands.life import refuse_existing
    from chez.cli.terminal import Terminal
    from chez.crypto import Kdf

    refuse_existing(path, "name another PATH")
    if not file.is_file():
        raise NotFound(f"there is no file {file}", NO_FILE)
    chosen = settings(ctx)
    face = Terminal(chosen)
    passphrase = passphrases.read(chosen, "the backup")
    try:
        done: Any = asyncio.run(chez.restore(
            file, path, passphrase=passphrase, name=name, kdf=Kdf.minimum() if kdf == "minimum" else Kdf.moderate(),
            progress=lambda done, total: face.progress(done, total, "restore")))
    finally:
        face.clear()
    if chosen.json:
        json_line({"home": str(path), **msgspec.to_builtins(done), "device": done.device.hex(),
                   "former": done.former.hex()})
        return
    say(f"{path} is a new device of yours, {done.name!r}, with {how_many(done.records, 'record')} "
        f"as of {when(done.made)}")
    if done.unsent:
        say(f"{done.unsent:,} of them hold work that may not have reached your other devices: chez sync sends it")


@click.command()
@click.option("--repair", is_flag=True, help="Mend what is found. What can't be read any more is kept aside.")
@click.option("--rebuild", is_flag=True, help="Make every record again from the log, whatever is found.")
@click.option("--as-new-device", is_flag=True,
              help="This home is a copy of another that is in use: make it a device of its own.")
@click.option("--name", help="With --as-new-device: what it is called. Default: as before.")
@click.pass_context
def doctor(ctx: click.Context, repair: bool, rebuild: bool, as_new_device: bool, name: str | None) -> None:
    """Examine the home, and tell what is wrong with it in plain words. Changes nothing unless told to.

    --repair and --rebuild need the home for themselves. A store with damaged pages is kept
    as it is, under another name; what can be read goes into a new one, and what the relay
    still has is read again. The exit code is 1 while something is wrong.

    Of two copies of a home that are both in use, one must become a device of its own: with
    --as-new-device here, the other stays what it is. What was not sent goes out anew.
    """
    if as_new_device and (repair or rebuild):
        raise click.UsageError("one thing after the other: --as-new-device alone", ctx)
    if as_new_device:
        _as_new_device(ctx, name)
        return
    findings, left, done = _look(ctx, repair or rebuild, rebuild)
    if settings(ctx).json:
        json_line({"findings": findings, "left": left, "done": done})
    else:
        _tell(findings, left, done)
    if left:
        ctx.exit(1)


def _tell(findings: list[dict[str, Any]], left: list[dict[str, Any]], done: list[str]) -> None:
    first = left[:FINDINGS_SHOWN]  # as many are found as there are records: each is not looked for among all of them
    mended = islice((one for one in findings if one not in left), FINDINGS_SHOWN - len(first))
    for n, one in enumerate(chain(first, mended)):
        say(f"{one['where']}: {one['meaning']}")
        if n < len(first) or not done:
            say(f"    {one['cure']}")
    if (more := len(findings) - FINDINGS_SHOWN) > 0:
        say(f"… and {more:,} more (--json lists them)")
    if not findings:
        say("the home is sound")
    for line in done:
        say(f"done: {line}")


def _look(ctx: click.Context, repair: bool, rebuild: bool
          ) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    """Findings, those that do harm still, and what was done; by this process where no owner runs, for a damaged home
    may not open.
    """
    import chez
    from chez.cli import passphrases
    from chez.cli.terminal import Terminal

    chosen = settings(ctx)
    link = connect(chosen.path)
    if link is not None:
        link.close()
        if repair:
            refuse_owned(chosen.path)
        found = call(ctx, "doctor", {})
        return found, [one for one in found if one["harm"]], []
    face = Terminal(chosen)
    try:
        diagnosis = asyncio.run(chez.doctor(
            chosen.path, passphrase=passphrases.unlock(chosen), repair=repair, rebuild=rebuild,
            progress=lambda done, total: face.progress(done, total, "doctor")))
    finally:
        face.clear()
    findings, left = ([plain_finding(one) for one in each] for each in (diagnosis.findings, diagnosis.left))
    return findings, left, list(diagnosis.done)


def _as_new_device(ctx: click.Context, name: str | None) -> None:
    import chez
    from chez.cli import passphrases

    chosen = settings(ctx)
    refuse_owned(chosen.path)
    done = asyncio.run(chez.become_new_device(chosen.path, passphrase=passphrases.unlock(chosen), name=name))
    if chosen.json:
        json_line({"device": done.device.hex(), "former": done.former.hex(), "unsent": done.records})
    else:
        say(f"{chosen.path} is a new device of yours now; "
            f"chez sync sends what waits ({how_many(done.records, 'record')})")


def refuse_owned(path: Path) -> None:
    """Raise `HomeBusy` while an owner has the home open."""
    link = connect(path)
    if link is not None:
        link.close()
        raise HomeBusy(f"{path} has an owner, which must not have it open meanwhile", "end it with chez lock")
