"""publisher: what a city, or anybody, does to publish open data from its home."""

import os
import secrets
import shlex
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from chez.cli.asking import Asked
from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.terminal import json_line, say
from chez.errors import ChezError, InvalidValue, NotFound, StorageFailed
from chez.phrasing import how_many
from chez.shown import NO_FILE, UNREADABLE

if TYPE_CHECKING:
    from chez.opendata.keys import PublisherKey
    from chez.opendata.metadata import About

__all__ = ("publisher",)

REJECTS_SHOWN: Final = 20

FILE: Final = click.Path(path_type=Path, dir_okay=False)
KEY: Final = click.option("--key", required=True, type=FILE, help="The publisher's key file.")
CATALOGUE: Final = click.option(
    "--catalogue", default="Open data", show_default=True, metavar="NAME",
    help="The public space of your home that is the catalogue; made if there is none.")
ANEW: Final = click.option(
    "--anew", is_flag=True, help="Begin versions anew that nobody can read: two devices published at once.")


@click.group()
def publisher() -> None:
    """Publish open data: signed datasets that everybody follows, and nobody is seen to look up.

    One catalogue says what there is (DCAT-AP); each dataset is a public space of your home. A new version sends the
    rows that changed. docs/opendata.md has an example of an about.toml.
    """


@publisher.command("new-key")
@click.option("--out", required=True, type=FILE, help="The key file to write.")
@click.option("--title", cls=Asked, prompt="Title of your catalogue", help="The catalogue's title.")
@click.option("--name", cls=Asked, prompt="Name that people will see", help="The publisher's name.")
@click.option("--contact", cls=Asked, prompt="Contact for people", help="How people reach the publisher.")
@click.option("--homepage", metavar="URL", help="The publisher's page.")
@click.option("--language", default="en", show_default=True, help="The language of titles, such as fr (ISO 639-1).")
@click.pass_context
def new_key(ctx: click.Context, /, out: Path, **said: str | None) -> None:
    """Make the key that signs what you publish. Keep a copy of it: who lost it is another publisher to everybody."""
    import msgspec

    from chez.opendata.keys import PublisherKey, save_key
    from chez.opendata.metadata import Card, require_readable

    try:
        card = msgspec.convert({name: value for name, value in said.items() if value is not None}, Card)
    except msgspec.ValidationError as error:
        raise InvalidValue(f"this is no publisher's card: {error}", "Say it shorter, in one line.") from None
    require_readable(card)
    made = PublisherKey(card=card, seed=secrets.token_bytes(32).hex())
    save_key(out, made)
    _tell_key(ctx, made)


@publisher.command("show-key")
@KEY
@click.pass_context
def show_key(ctx: click.Context, key: Path) -> None:
    """Show what everybody may know of the publisher."""
    from chez.opendata.keys import load_key

    _tell_key(ctx, load_key(key))


@publisher.command()
@KEY
@click.option("--out", required=True, type=FILE, help="The new key file to write.")
@CATALOGUE
@click.pass_context
def succeed(ctx: click.Context, key: Path, out: Path, catalogue: str) -> None:
    """Go on with a new key, which the former one signs: who follows you goes on with you, and is told.

    The new key signs the catalogue and each of its datasets anew; from then on nothing that the former one signs
    counts. Tell the new words where people trust what they read, and destroy the former file: who has it could name
    another successor. Where somebody may have it already, tell that too: people choose by the words.
    """
    from chez.opendata.keys import load_key, save_key, succeeding_key

    made = succeeding_key(load_key(key), secrets.token_bytes(32))
    save_key(out, made)
    try:
        _publish(ctx, made, {"catalogue": catalogue, "renew": True})
    except ChezError:
        if not settings(ctx).json:
            again = f"chez publisher renew --key {shlex.quote(str(out))} --catalogue {shlex.quote(catalogue)}"
            say(f"The new key is in {out}: `{again}` goes on with it. Make no other one.", err=True)
        raise
    _tell_key(ctx, made)


@publisher.command()
@KEY
@CATALOGUE
@click.pass_context
def renew(ctx: click.Context, key: Path, catalogue: str) -> None:
    """Have a new key sign a catalogue and its datasets, which a former one signed: another than `succeed` did.

    It also goes on where that was cut off.
    """
    from chez.opendata.keys import load_key

    _publish(ctx, load_key(key), {"catalogue": catalogue, "renew": True})


@publisher.command()
@click.argument("abouts", nargs=-1, required=True, type=FILE)
@KEY
@CATALOGUE
@ANEW
@click.pass_context
def describe(ctx: click.Context, abouts: tuple[Path, ...], key: Path, catalogue: str, anew: bool) -> None:
    """Say in the catalogue what datasets are (about.toml, one for each), without their data, or anew."""
    from chez.opendata.keys import load_key

    _publish(ctx, load_key(key), {"catalogue": catalogue, "abouts": _plain(map(_about, abouts)), "anew": anew})


@publisher.command()
@click.argument("file", type=FILE)
@click.option("--about", required=True, type=FILE, help="The about.toml that says what it is.")
@KEY
@CATALOGUE
@click.option("--partly", is_flag=True, help="Publish although some rows can't be read.")
@ANEW
@click.pass_context
def publish(ctx: click.Context, file: Path, about: Path, key: Path, catalogue: str, partly: bool, anew: bool) -> None:
    """Publish a FILE (CSV, GeoJSON, GTFS or GBFS) as the newest version of a dataset: what changed is sent."""
    from chez.opendata.keys import load_key

    if not os.access(file, os.R_OK):
        raise NotFound(f"there is no file {file} that can be read", NO_FILE)
    _publish(ctx, load_key(key), {"catalogue": catalogue, "abouts": _plain([_about(about)]),
                                  "file": os.path.abspath(file), "partly": partly, "anew": anew})


@publisher.command()
@click.argument("datasets", nargs=-1, required=True)
@KEY
@CATALOGUE
@ANEW
@click.pass_context
def withdraw(ctx: click.Context, datasets: tuple[str, ...], key: Path, catalogue: str, anew: bool) -> None:
    """Take datasets out of the catalogue.

    Who subscribed keeps what it has; `chez space delete` ends a dataset's space.
    """
    from chez.opendata.keys import load_key

    _publish(ctx, load_key(key), {"catalogue": catalogue, "withdrawn": list(datasets), "anew": anew})


def _about(path: Path) -> "About":
    from chez.opendata.metadata import read_about

    try:
        return read_about(path.read_text("utf-8"))
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}", NO_FILE) from None
    except OSError as error:
        raise StorageFailed(f"{path} can't be read: {error.strerror}", UNREADABLE) from None
    except UnicodeDecodeError:
        raise InvalidValue(f"{path} is not UTF-8 text", "save it as UTF-8") from None
    except InvalidValue as error:
        raise InvalidValue(f"{path}: {error.message}", error.hint) from None


def _plain(abouts: Any) -> list[Any]:
    import msgspec

    return [msgspec.to_builtins(about) for about in abouts]


def _publish(ctx: click.Context, key: "PublisherKey", asked: dict[str, Any]) -> None:
    """Have editions composed, sign them, and have them written, until nothing is left."""
    import msgspec

    asked = {**asked, "publisher": key.signing.public, "card": msgspec.to_builtins(key.card)}
    if key.formerly:
        asked["formerly"] = msgspec.msgpack.encode(key.successions)
    while True:
        rejects: list[dict[str, Any]] = []
        asked["time"] = int(time.time())
        draft = call(ctx, "publisher-compose", asked, show=partial(_gather, rejects))
        if draft["rejected"] and not asked.get("partly"):
            _refuse(draft["rejected"], rejects)
        if not draft["editions"]:
            json_line({"published": []}) if settings(ctx).json else say("Nothing changed.")
            return
        done = call(ctx, "publisher-publish", {**asked, "signed": _signed(key, draft["editions"])})
        _tell(ctx, done)
        if done["whole"]:
            return


def _gather(rejects: list[dict[str, Any]], page: dict[str, Any]) -> None:
    rejects.extend(page["rejects"])


def _signed(key: "PublisherKey", bodies: Sequence[str]) -> list[tuple[bytes, bytes]]:
    import msgspec

    from chez.opendata.editions import Edition

    signed = []
    for body in map(bytes.fromhex, bodies):
        edition = msgspec.msgpack.decode(body, type=Edition)
        if edition.publisher != key.signing.public:
            raise InvalidValue("the home gave another publisher's edition to sign", "Nothing was signed.")
        signed.append((edition.encoded, edition.sign(key.signing)))
    return signed


def _refuse(count: int, rejects: Sequence[dict[str, Any]]) -> None:
    for one in rejects[:REJECTS_SHOWN]:
        say(f"line {one['line']}: {one['reason']}: {one['text']}", err=True)
    raise InvalidValue(f"{how_many(count, 'row')} of the file can't be read, and nothing was published",
                       "Mend them, or publish the others with --partly.")


def _tell_key(ctx: click.Context, key: "PublisherKey") -> None:
    import msgspec

    from chez.opendata.keys import key_words

    public = key.signing.public
    if settings(ctx).json:
        json_line({**msgspec.to_builtins(key.card), "publisher": public.hex(), "words": key_words(public)})
        return
    say(f"{key.card.title}, by {key.card.name} ({key.card.contact})\nkey       {public.hex()}\n"
        f"in words  {key_words(public)}")


def _tell(ctx: click.Context, done: dict[str, Any]) -> None:
    if settings(ctx).json:
        json_line(done)
        return
    for one in done["published"]:
        say(f"{one['dataset']}: version {one['number']}, {how_many(one['rows'], 'row')}: {one['added']:,} added, "
            f"{one['changed']:,} changed, {one['removed']:,} removed")
    if done["whole"]:
        say(f"catalogue  {done['address']}")
    if done["sync"]:
        say(f"Not at the relay yet: {done['sync']}", err=True)
