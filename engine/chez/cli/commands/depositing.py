"""deposit-address, deposits: what organisations may leave here, and what they left."""

import sys
from pathlib import Path
from typing import Any, Final

import click

from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.terminal import json_line, say, table, when
from chez.cli.values import duration
from chez.errors import InvalidValue, NotFound
from chez.shown import NO_FILE, UNREADABLE

__all__ = ("deposit_address", "deposits", "show_deposits")

SHORT: Final = 12
"""Characters of an id that are shown to people."""

_LONGEST: Final = 1 << 16


@click.group("deposit-address")
def deposit_address() -> None:
    """Addresses at which organisations leave your data for you: one for each organisation.

    WHICH is an address's name, or 4 digits or more of its id. What an organisation leaves is
    taken at each sync, checked, and marked as from it; it can read nothing here.
    """


@deposit_address.command()
@click.argument("name")
@click.option("--type", "types", multiple=True, metavar="COLLECTION",
              help="A collection of the vocabulary that it may leave records of; any number of times.")
@click.option("--describe", multiple=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="A file that describes another type of record (docs/deposits.md); any number of times.")
@click.option("--for", "card", metavar="CARD", help="The organisation's card: its text, a file with it, or -.")
@click.option("--records", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True,
              help="Records that it may leave a day.")
@click.option("--megabytes", type=click.IntRange(1, 1024), default=16, show_default=True,
              help="MiB that these may have a day.")
@click.option("--expires", metavar="TIME", default="366d", show_default=True, help="How long it lasts: 8h, 30d.")
@click.option("--acks", type=click.Choice(["soon", "later", "none"]), default="later", show_default=True,
              help="When the organisation hears that you have it: at once, some time within a day, or never.")
@click.option("--qr", is_flag=True, help="Show the address as a QR code, too.")
@click.pass_context
def new(ctx: click.Context, name: str, types: tuple[str, ...], describe: tuple[Path, ...], card: str | None,
        records: int, megabytes: int, expires: str, acks: str, qr: bool) -> None:
    """Make an address for the organisation that you call NAME, and show what to give it.

    With its card nobody else can ever leave anything there. Without, what comes first waits
    until you say whose it is (`chez deposit-address allow`).
    """
    if not types and not describe:
        raise click.UsageError("say which records it may leave: --type COLLECTION, or --describe FILE", ctx)
    made = call(ctx, "deposit-address-new", {
        "label": name, "types": list(types), "described": [_file(path) for path in describe],
        "card": None if card is None else _card(card), "records": records, "bytes": megabytes << 20,
        "seconds": duration(expires), "acks": acks})
    _given(ctx, made, qr)


def _given(ctx: click.Context, made: dict[str, Any], qr: bool) -> None:
    """Show a new address, and what to do with it."""
    if settings(ctx).json:
        json_line(made)
        return
    say(made["text"])
    if qr:
        from chez.qr import blocks

        for line in blocks(made["text"]):
            click.echo(line)
    say(f"Give this to the organisation. Its words, if you want to compare them there: {made['words']}", err=True)
    if made["organisation"]:
        say(f"It is for {made['organisation']}, whose words are: {made['organisation_words']}", err=True)
    else:
        say("It is for nobody yet: what comes first waits until you say whose it is.", err=True)
    say("It takes messages after `chez sync`, unless `chez up` runs here.", err=True)


@deposit_address.command("list")
@click.pass_context
def list_them(ctx: click.Context) -> None:
    """List the addresses, with those that ended."""
    found = call(ctx, "deposit-address-list", {})
    if settings(ctx).json:
        for one in found:
            json_line(one)
        return
    table(("id", "name", "organisation", "takes", "until", "state"), [
        (one["id"][:SHORT], one["label"], one["organisation"], ", ".join(kind["collection"] for kind in one["types"]),
         when(one["until"]), one["state"]) for one in found],
        empty="No organisation has an address of yours: chez deposit-address new NAME.")


@deposit_address.command()
@click.argument("which")
@click.pass_context
def show(ctx: click.Context, which: str) -> None:
    """Show an address: what it takes, whose it is, and who asks at it."""
    one = call(ctx, "deposit-address-show", {"which": which})
    if settings(ctx).json:
        json_line(one)
        return
    whose = f"{one['organisation']} ({one['organisation_words']})" if one["organisation"] else "nobody yet"
    say(f"{one['label']}: {one['state']}, until {when(one['until'])}")
    say(f"  for          {whose}")
    for name in one["readers"]:
        say(f"  read by      {name!r}, which you removed: chez deposit-address renew {one['label']}")
    for kind in one["types"]:
        say(f"  takes        {kind['collection']}: {', '.join(kind['fields'])}")
    say(f"  a day        {one['quota']['records']:,} records, {one['quota']['bytes'] >> 20:,} MiB")
    say(f"  acknowledges {one['acks']}")
    say(f"  words        {one['words']}")
    claims = "claims it" if one["state"] == "contested" else "asks"
    for applicant in one["applicants"]:
        say(f"  {claims:12} {applicant['name']}, {applicant['domain']}, {applicant['contact']}, as it says\n"
            f"               its words: {applicant['words']}")
    if one["text"]:
        say(one["text"])


@deposit_address.command()
@click.argument("which")
@click.pass_context
def revoke(ctx: click.Context, which: str) -> None:
    """Take nothing more at an address. What came stays; what lies at the relay is forgotten there."""
    done = call(ctx, "deposit-address-revoke", {"which": which})
    json_line(done) if settings(ctx).json else say(f"nothing is taken at {done['label']} any more")


@deposit_address.command()
@click.argument("which")
@click.option("--qr", is_flag=True, help="Show the address as a QR code, too.")
@click.pass_context
def renew(ctx: click.Context, which: str, qr: bool) -> None:
    """Put a new address in the place of one, with the same terms: after you removed a device.

    What lies at the former one is taken first; then nothing is taken there any more. Give the
    new one to the organisation at once: until it has it, what it leaves at the former can be
    read by who has the removed device.
    """
    _given(ctx, call(ctx, "deposit-address-renew", {"which": which}), qr)


@deposit_address.command()
@click.argument("which")
@click.argument("words", nargs=-1, required=True)
@click.pass_context
def allow(ctx: click.Context, which: str, words: tuple[str, ...]) -> None:
    """Say that an address is for the organisation whose key has these six WORDS.

    `chez deposit-address show` has the words of who left something; the organisation shows
    its own on paper or on its pages. Everybody else's messages are dropped from then on. So you
    also settle whose it is when two keys claim to go on as the organisation.
    """
    done = call(ctx, "deposit-address-allow", {"which": which, "words": " ".join(words)})
    json_line(done) if settings(ctx).json else say(
        f"{done['label']} is for {done['organisation']}. What it left comes with the next sync.")


@click.command()
@click.argument("which", required=False)
@click.option("--rejects", is_flag=True, help="Show the records that were refused, with the reason.")
@click.pass_context
def deposits(ctx: click.Context, which: str | None, rejects: bool) -> None:
    """List what organisations left, the first first: at the address WHICH, or at all."""
    found: list[dict[str, Any]] = []
    call(ctx, "deposits", {"which": which}, show=lambda data: found.extend(data["deposits"]))
    if settings(ctx).json:
        for one in found:
            json_line(one)
        return
    names = ("records", "added", "updated", "unchanged", "kept", "purged", "refused")
    table(("taken", "from", "number", *names, "outcome"), [
        (when(one["taken"]), one["organisation"], one["number"], *(one[name] for name in names), one["outcome"])
        for one in found], right=("number", *names),
        empty="No organisation left anything yet. What lies at the relay comes with chez sync.")
    for one in found:
        if one["missing"]:
            say(f"  {one['missing']} before number {one['number']} of {one['organisation']} did not come", err=True)
        for reject in one["rejects"] if rejects else ():
            say(f"  {one['organisation']} {one['number']}, record {reject['row']} of "
                f"{reject['collection']}: {reject['reason']}: {reject['text']}")


def show_deposits(done: dict[str, Any]) -> None:
    """What one sync took of what organisations left, and what waits."""
    if done["messages"]:
        names = ("added", "updated", "unchanged", "kept", "purged", "refused")
        counts = ", ".join(f"{done[name]} {name}" for name in names if done[name])
        say(f"deposits: {done['messages']} taken, {counts} (chez deposits)")
    for label in done["waiting"]:
        say(f"more lies at the deposit address {label!r}: chez deposit-address show", err=True)
    for problem in done["problems"]:
        say(f"deposits: {problem}", err=True)


def _card(given: str) -> str:
    if given.lstrip().startswith("chez-"):
        return given
    return sys.stdin.read(_LONGEST + 1) if given == "-" else _file(Path(given))


def _file(path: Path) -> str:
    try:
        if path.stat().st_size > _LONGEST:
            raise InvalidValue(f"{path} is too long for what it is to be", "is it the right file?")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}", NO_FILE) from None
    except (OSError, UnicodeDecodeError):
        raise InvalidValue(f"{path} can't be read", UNREADABLE) from None
