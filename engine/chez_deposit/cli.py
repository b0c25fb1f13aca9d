"""`chez-deposit`: what an organisation does, from its key to the acknowledgements."""

import asyncio
import secrets
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
import msgspec

from chez.cli.asking import Seconds
from chez.cli.group import Program
from chez.cli.program import run
from chez.cli.stopping import standing
from chez.cli.terminal import json_line, say
from chez.cli.values import duration
from chez.deposits.address import read_address
from chez.errors import InvalidValue, StorageFailed
from chez_deposit.book import Book
from chez_deposit.building import build
from chez_deposit.collecting import Collected, collect
from chez_deposit.keys import OrganisationKeys, load_keys, new_keys, replace_keys, save_keys, succeeding_keys
from chez_deposit.reading import bounded_lines, stage
from chez_deposit.sending import send

__all__ = ("cli", "main")

_LONGEST: Final = 1 << 16

KEY: Final = click.option("--key", required=True, type=click.Path(path_type=Path, dir_okay=False),
                          help="The organisation's key file.")
BOOK: Final = click.option("--book", type=click.Path(path_type=Path, dir_okay=False),
                           help="Its book of customers and messages. Default: beside the key, with .book behind it.")
JSON: Final = click.option("--json", "as_json", is_flag=True, help="Answer in JSON for programs.")


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="chez", message="%(prog)s %(version)s")
def cli() -> None:
    """Give people back the records that you hold of them, each at the address that it gave you.

    What leaves is signed by your key and sealed to one person; the relay has no list of your
    customers. Every command may be killed and given again.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run `chez-deposit` and end the process. Errors are one line and a hint, never a stack trace."""
    run("chez-deposit", cli, arguments)


# --- who the organisation is ----------------------------------------------------------------


@cli.group()
def keys() -> None:
    """The organisation's keys."""


@keys.command("new")
@click.option("--relay", required=True, metavar="URL", help="Where acknowledgements wait: wss://HOST.")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The key file to write.")
@click.option("--name", required=True, help="The organisation's name, as people will see it.")
@click.option("--contact", required=True, help="How people reach it.")
@click.option("--domain", required=True, help="Its domain.")
def keys_new(relay: str, out: Path, name: str, contact: str, domain: str) -> None:
    """Make keys, and show the card and its words. Keep the file: people know you by it."""
    made = new_keys(name, contact, domain, relay, secrets.token_bytes)
    save_keys(out, made)
    _show_card(made, False)


@keys.command("succeed")
@KEY
@click.option("--keep", required=True, type=click.Path(path_type=Path, dir_okay=False),
              help="Where the former key file goes on to be: a new name.")
@click.option("--relay", default="", metavar="URL", help="Where acknowledgements wait from now on. Default: as before.")
def keys_succeed(key: Path, keep: Path, relay: str) -> None:
    """Go on with a new key, which the former one signs: customers keep their addresses.

    The new key takes the place of the file, with the same book; each customer's device follows with
    your next message, and tells its person. Publish the new card with its new words. Who has the
    former key could name another successor, so destroy what is at KEEP. Where somebody may have it
    already, this is no way out: make new keys, and let customers make new addresses.
    """
    made = succeeding_keys(load_keys(key), secrets.token_bytes, relay=relay)
    replace_keys(key, made, keep)
    _show_card(made, False)


@cli.command()
@KEY
@JSON
def card(key: Path, as_json: bool) -> None:
    """Show the card that customers make their address with, and the words of your key.

    Show the words where people trust what they read: on paper, on your pages.
    """
    _show_card(load_keys(key), as_json)


def _show_card(loaded: OrganisationKeys, as_json: bool) -> None:
    made = loaded.card
    if as_json:
        json_line({"card": made.text, "words": made.words, "name": made.name})
        return
    say(made.text)
    say(f"its words: {made.words}", err=True)


# --- customers --------------------------------------------------------------------------------


@cli.command()
@click.argument("address")
@JSON
def check(address: str, as_json: bool) -> None:
    """Check a deposit ADDRESS (- reads it from standard input), and show what it takes."""
    found = read_address(_text(address))
    types = {one.collection: dict(one.fields) for one in found.types}
    until = datetime.fromtimestamp(found.until / 1000, UTC).isoformat(timespec="seconds")
    if as_json:
        json_line({"label": found.label, "words": found.words, "relay": found.relay, "types": types, "until": until,
                   "records": found.most_records, "bytes": found.most_bytes, "acknowledged": found.acknowledged,
                   "organisation": found.organisation.hex()})
        return
    say(f"{found.label}, until {until}, at {found.relay}\n  its words: {found.words}")
    for collection, fields in types.items():
        say(f"  takes {collection}: " + ", ".join(f"{name} ({kind})" for name, kind in fields.items()))
    say(f"  at most {found.most_records:,} records of {found.most_bytes:,} bytes a day")


@cli.group()
def customer() -> None:
    """The customers who gave you an address."""


@customer.command("add")
@click.argument("ref")
@click.argument("address")
@KEY
@BOOK
def customer_add(ref: str, address: str, key: Path, book: Path | None) -> None:
    """Keep the ADDRESS (- reads it from standard input) that the customer you call REF gave."""
    with _book(key, book) as (_, opened):
        added = opened.add_customer(ref, _text(address))
    say(f"{ref}: {', '.join(one.collection for one in added.address.types)}")


@customer.command("import")
@click.argument("file", type=click.File("rb"))
@KEY
@BOOK
@JSON
def customer_import(file: BinaryIO, key: Path, book: Path | None, as_json: bool) -> None:
    """Keep the addresses in FILE (- for standard input): lines of {"customer": ..., "address": ...}.

    What is wrong with a line is told; the others are kept. Ends with 1 when a line was refused.
    """
    count = 0

    def lines() -> Iterator[tuple[str, str]]:
        nonlocal count
        for number, line in enumerate(bounded_lines(file, _LONGEST), 1):
            if not line.strip():
                continue
            count += 1
            try:
                found = msgspec.json.decode(line, type=_Given)
            except (msgspec.DecodeError, UnicodeError):
                refused[f"line {number}"] = "it is no customer with an address"
                continue
            yield found.customer, found.address

    refused: dict[str, str] = {}
    with _book(key, book) as (_, opened):
        refused |= opened.add_customers(lines())
    if as_json:
        json_line({"kept": count - len(refused), "refused": refused})
    else:
        say(f"{_count(count - len(refused), 'customer')} kept")
        for ref, why in refused.items():
            say(f"  {ref}: {why}", err=True)
    if refused:
        click.get_current_context().exit(1)


@customer.command("list")
@KEY
@BOOK
@JSON
def customer_list(key: Path, book: Path | None, as_json: bool) -> None:
    """List the customers."""
    with _book(key, book) as (_, opened):
        for one in opened.customers():
            takes = [kind.collection for kind in one.address.said_types]
            if as_json:
                json_line({"customer": one.ref, "takes": takes, "words": one.address.words})
            else:
                say(f"{one.ref}: {', '.join(takes)}")


# --- batches ------------------------------------------------------------------------------------


@cli.command("send")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--batch", metavar="NAME", help="What to call it. Default: after the file's content.")
@click.option("--csv", "collection", metavar="COLLECTION", help="The file is CSV, with records of this collection.")
@click.option("--relays", metavar="URL", multiple=True,
              help="Dial no customer's relay but this one; once for each. What is for others stays queued.")
@KEY
@BOOK
@JSON
def send_file(file: Path | None, batch: str | None, collection: str | None, relays: tuple[str, ...], key: Path,
              book: Path | None, as_json: bool) -> None:
    """Send the records in FILE, or without one what is still queued.

    A line of the file is {"customer": ..., "collection": ..., "record": {...}}. The same file
    again is the same batch: nothing of it is sent twice. Ends with 1 while something is queued, and
    when no line of the file can be sent.
    """
    told: dict[str, Any] = {}
    with _book(key, book) as (loaded, opened):
        if file is not None:
            staged = stage(opened, file, batch=batch, collection=collection)
            built = build(opened, loaded, staged.batch, now=_now())
            told = {**msgspec.to_builtins(staged), **msgspec.to_builtins(built)}
        with standing("what was sent is noted; the same command sends the rest"):
            sent = asyncio.run(send(opened, loaded, now=_now, relays=relays))
    if as_json:
        json_line({**told, **msgspec.to_builtins(sent)})
    else:
        if told:
            say(f"batch {told['batch']}: {_count(told['records'], 'record')}, "
                f"{_count(told['rejected'], 'line')} rejected"
                + (f", {_count(told['ended'], 'customer')} whose address has ended" if told["ended"] else ""))
            if told["rejected"]:
                say(f"  chez-deposit rejects {told['batch']} --key {key} says why", err=True)
        say(f"{_count(sent.sent, 'message')} sent, {sent.queued:,} queued"
            + (f", {sent.gone:,} given up" if sent.gone else ""))
        for why, count in sent.problems.items():
            say(f"  {_count(count, 'message')}: {why}", err=True)
    if sent.queued or (told and told["rejected"] and not told["records"]):
        click.get_current_context().exit(1)


@cli.command()
@click.argument("batch")
@KEY
@BOOK
@JSON
def rejects(batch: str, key: Path, book: Path | None, as_json: bool) -> None:
    """List the lines of a BATCH that were not sent, with the reason."""
    with _book(key, book) as (_, opened):
        for line, reason in opened.rejects(batch):
            json_line({"line": line, "reason": reason}) if as_json else say(f"line {line}: {reason}")


@cli.command()
@click.option("--wait", type=Seconds(0), default=2.0, show_default=True, metavar="SECONDS",
              help="How long to wait for the first one.")
@click.option("--follow", is_flag=True, help="Go on waiting for more, until interrupted.")
@KEY
@BOOK
@JSON
def acks(wait: float, follow: bool, key: Path, book: Path | None, as_json: bool) -> None:
    """Take acknowledgements: which messages are on a customer's device."""
    with _book(key, book) as (loaded, opened):
        with standing("what came is in the book: chez-deposit status"):
            came = asyncio.run(collect(opened, loaded, now=_now, wait=None if follow else wait))
    _tell(came, as_json)


def _tell(came: Collected, as_json: bool) -> None:
    if as_json:
        json_line(msgspec.to_builtins(came))
    else:
        say(f"{came.taken:,} taken, {came.refused:,} refused")
        if came.dropped:
            say(f"{_count(came.dropped, 'item')} dropped that no customer's device signed: whoever has your card can "
                "put such, and keeps acknowledgements out while the inbox is full. `chez-deposit acks --follow` takes "
                "them out as they come; devices try again for 90 days", err=True)
        for problem in came.problems:
            say(f"  {problem}", err=True)


@cli.command()
@click.option("--older", default="30d", show_default=True, metavar="TIME", help="Sent longer ago than this.")
@KEY
@BOOK
def again(older: str, key: Path, book: Path | None) -> None:
    """Queue again what was sent long ago and is not acknowledged: relays let go of what nobody takes."""
    with _book(key, book) as (_, opened):
        count, gone = opened.unacknowledged(_now() - int(duration(older)), _now())
    say(f"{_count(count, 'message')} queued: chez-deposit send")
    if gone:
        say(f"{_count(gone, 'message')} given up, signed by the key before: send their records again, in a new batch")


@cli.command("renew")
@KEY
@BOOK
def renew_era(key: Path, book: Path | None) -> None:
    """Begin to number anew: after the book was put back from a copy that is older than what was sent."""
    with _book(key, book) as (_, opened):
        era = opened.renew(_now())
    say(f"messages are numbered in era {era} from now on")


@cli.command()
@click.option("--batch", metavar="NAME", help="Of this batch alone.")
@KEY
@BOOK
@JSON
def status(batch: str | None, key: Path, book: Path | None, as_json: bool) -> None:
    """How many messages are queued, sent, taken, refused, given up."""
    with _book(key, book) as (_, opened):
        found = msgspec.to_builtins(opened.standing(batch))
    if as_json:
        json_line(found)
    else:
        say("\n".join(f"{name.replace('_', ' '):16} {count:>12,}" for name, count in found.items()))


class _Given(msgspec.Struct, forbid_unknown_fields=True):
    customer: str
    address: str


class _Opened:
    """The keys and the book that a command names, open while its block lasts."""

    def __init__(self, key: Path, book: Path | None) -> None:
        self._keys = load_keys(key)
        self._book = Book(book or key.with_name(key.name + ".book"), self._keys, now=_now())

    def __enter__(self) -> tuple[OrganisationKeys, Book]:
        return self._keys, self._book.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._book.__exit__(*error)


_book = _Opened


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _now() -> int:
    return int(time.time())


def _text(given: str) -> str:
    if given != "-":
        return given
    try:
        return sys.stdin.read(_LONGEST + 1)
    except UnicodeDecodeError:
        raise InvalidValue("standard input is no text") from None
    except OSError as error:
        raise StorageFailed(f"standard input can't be read: {error.strerror}") from None
