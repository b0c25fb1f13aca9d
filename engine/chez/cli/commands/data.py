"""data: open data of cities and others, found, subscribed and checked on this device."""

from datetime import UTC, datetime
from typing import Any, Final

import click

from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.language import LANGUAGE
from chez.cli.terminal import json_line, say, table
from chez.opendata.phrases import phrase
from chez.phrasing import in_one_line

__all__ = ("data",)

MIB: Final = 1024 * 1024


@click.group()
def data() -> None:
    """Open data: follow a publisher's catalogue, subscribe datasets, and query them with `chez sql`.

    Catalogues and datasets come whole, and are searched here, so that nobody learns what you look up. The relay sees
    which datasets you subscribe.
    """


@data.command()
@click.argument("address")
@LANGUAGE
@click.pass_context
def add(ctx: click.Context, address: str, language: str) -> None:
    """Follow a catalogue by its ADDRESS (chez-public:...)."""
    done = call(ctx, "data-add", {"address": address})
    if settings(ctx).json:
        json_line(done)
        return
    _tell_catalogue(done, language)
    _tell_renewed(done, language)
    _tell_sync(done, language)


@data.command()
@click.argument("catalogue")
@LANGUAGE
@click.pass_context
def remove(ctx: click.Context, catalogue: str, language: str) -> None:
    """Follow a CATALOGUE no more, by its name or the beginning of its id. What you subscribed of it stays."""
    done = call(ctx, "data-remove", {"name": catalogue})
    if settings(ctx).json:
        json_line(done)
    else:
        say(phrase(language, "catalogue.removed", name=catalogue))


@data.command()
@click.argument("words", nargs=-1)
@click.option("--theme", metavar="CODE", help="Only of this theme, such as TRAN, ENVI or ENER.")
@click.option("--limit", type=click.IntRange(1, 5000), default=20, show_default=True, help="At most so many.")
@LANGUAGE
@click.pass_context
def search(ctx: click.Context, words: tuple[str, ...], theme: str | None, limit: int, language: str) -> None:
    """Find datasets that have all WORDS, in the catalogues that you follow; without words, all of them."""
    hits: list[dict[str, Any]] = []
    done = call(ctx, "data-search", {"query": " ".join(words), "theme": theme, "limit": limit},
                show=lambda page: hits.extend(page["datasets"]))
    if settings(ctx).json:
        for hit in hits:
            json_line(hit)
        return
    for one in done["catalogues"]:
        _tell_problem(one, phrase(language, "catalogue.what", name=one["name"]), language)
    mine, missing = phrase(language, "search.subscribed"), phrase(language, "search.not-here")
    table(phrase(language, "search.head").split("|"), (
        (hit["id"], hit["title"], hit["rows"], hit.get("modified"),
         mine if hit["subscribed"] else "" if hit.get("address") else missing) for hit in hits),
        empty=phrase(language, "search.none"))
    if done["found"] > len(hits):
        say(phrase(language, "search.more", count=done["found"] - len(hits)), err=True)


@data.command()
@click.argument("name")
@LANGUAGE
@click.pass_context
def show(ctx: click.Context, name: str, language: str) -> None:
    """Show what is said of a dataset, and how it stands here."""
    done = call(ctx, "data-show", {"name": name})
    if settings(ctx).json:
        json_line(done)
        return
    _tell_said(done, language)
    if (here := done["here"]) is None:
        say(phrase(language, "show.not-subscribed", id=done["id"]) if done.get("address")
            else phrase(language, "show.not-here"))
        return
    say("")
    _tell_dataset(here, language)
    if here["tables"]:
        say(phrase(language, "show.try", table=here["tables"][0]))


@data.command("list")
@LANGUAGE
@click.pass_context
def list_(ctx: click.Context, language: str) -> None:
    """Show the datasets that you subscribed, and the catalogues that you follow."""
    _tell_all(ctx, call(ctx, "data-list", {}), language)


@data.command()
@click.argument("name")
@click.option("--room", type=click.IntRange(min=1), metavar="MIB",
              help="How much of this device it may take, in MiB; 512 if you say nothing.")
@LANGUAGE
@click.pass_context
def subscribe(ctx: click.Context, name: str, room: int | None, language: str) -> None:
    """Fetch a dataset, and keep it in step, on all your devices."""
    done = call(ctx, "data-subscribe", {"name": name, "room": None if room is None else room * MIB})
    if settings(ctx).json:
        json_line(done)
        return
    _tell_dataset(done, language)
    _tell_renewed(done, language)
    _tell_sync(done, language)


@data.command()
@click.argument("name")
@LANGUAGE
@click.pass_context
def unsubscribe(ctx: click.Context, name: str, language: str) -> None:
    """Erase a dataset here, and on your other devices when they update."""
    done = call(ctx, "data-unsubscribe", {"name": name})
    if settings(ctx).json:
        json_line(done)
    else:
        say(phrase(language, "dataset.unsubscribed", name=name))


@data.command()
@LANGUAGE
@click.pass_context
def update(ctx: click.Context, language: str) -> None:
    """Bring all of it into step, and check it against what its publishers signed.

    Any `chez sync` brings new data too; this also does on this device what you subscribed or unsubscribed on another.
    """
    done = call(ctx, "data-update", {}, stands="what came stays; the same command goes on")
    _tell_all(ctx, done, language)
    if not settings(ctx).json:
        _tell_sync(done, language)
        for problem in done["problems"]:
            say(phrase(language, "update.problem", problem=problem), err=True)
    if any(one["problem"] for one in (*done["datasets"], *done["catalogues"])):
        ctx.exit(1)


@data.command()
@click.argument("name")
@click.argument("words", nargs=-1, required=True)
@LANGUAGE
@click.pass_context
def trust(ctx: click.Context, name: str, words: tuple[str, ...], language: str) -> None:
    """Say by its six WORDS which key goes on as a publisher, where two claim to, of a catalogue or a dataset.

    Somebody has the publisher's former key then: ask the publisher which words are right, in a way that you know.
    """
    done = call(ctx, "data-trust", {"name": name, "words": " ".join(words)})
    if settings(ctx).json:
        json_line(done)
    else:
        say(phrase(language, "key.chosen", name=name, words=done["words"]))


@data.command()
@click.argument("name")
@click.option("--mib", type=click.IntRange(min=1), help="How much of this device it may take, in MiB.")
@click.option("--records", type=click.IntRange(min=1), help="How many records may ever come of it.")
@LANGUAGE
@click.pass_context
def room(ctx: click.Context, name: str, mib: int | None, records: int | None, language: str) -> None:
    """Show how much of this device a dataset, a catalogue or another followed space takes and may; or give it more.

    Whoever publishes a space decides how much is in it: one that wants more than its room stops there, and tells.
    """
    done = call(ctx, "data-room", {"name": name, "bytes": None if mib is None else mib * MIB, "records": records})
    if settings(ctx).json:
        json_line(done)
        return
    if done["full"]:
        _tell_full(done, done["name"], language)
    else:
        say(_room(done, done["name"], language).strip())
    _tell_sync(done, language)


@data.command()
@click.argument("name")
@click.option("--at", type=click.IntRange(min=1), metavar="NUMBER",
              help="Print the rows of this version, one JSON line each.")
@LANGUAGE
@click.pass_context
def versions(ctx: click.Context, name: str, at: int | None, language: str) -> None:
    """List the versions of a dataset that are known here, or tell an old one."""
    if at is not None:
        call(ctx, "data-rows", {"name": name, "number": at}, show=_print_rows)
        return
    done = call(ctx, "data-versions", {"name": name})
    if settings(ctx).json:
        json_line(done)
        return
    part = phrase(language, "versions.part")
    table(phrase(language, "versions.head").split("|"), (
        (one["number"], _minute(one["time"]), one["rows"],
         one["added"], one["changed"], one["removed"], "" if one["whole"] else part) for one in done["editions"]))
    say(phrase(language, "versions.compare", head=done["head"]), err=True)


def _minute(seconds: int) -> str:
    """A time that a publisher signed, which may be in no calendar: then the number itself."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return str(seconds)


@data.command()
@click.pass_context
def export(ctx: click.Context) -> None:
    """Print the catalogues that you follow as JSON-LD (DCAT-AP 3), one line each."""
    for one in call(ctx, "data-export", {}):
        json_line(one)


def _print_rows(page: dict[str, Any]) -> None:
    for row in page["rows"]:
        json_line(row)


# --- in words ------------------------------------------------------------------------


def _tell_said(done: dict[str, Any], language: str) -> None:
    """What the catalogue says of a dataset."""
    def say_in(key: str, **values: Any) -> str:
        return phrase(language, f"show.{key}", **values)

    say(f"{in_one_line(done['title'])}\n\n{done['description']}\n")
    spatial = done.get("spatial") or {}
    lines = {
        "by": say_in("by-whom", by=done["by"] or say_in("nobody"), words=done["words"]),
        "formerly": ", ".join(done["formerly"]),
        "licence": done["licence"],
        "themes": ", ".join((*done.get("themes", ()), *done.get("keywords", ()))),
        "where": spatial.get("name"),
        "when": f" {say_in('to')} ".join(filter(None, (done.get("begins"), done.get("ends")))),
        "updated": ", ".join(filter(None, (done.get("frequency"), done.get("modified")))),
        "takes": say_in("takes-mib", mib=-(-done["takes"] // MIB)) if done["takes"] else None,
        "see": done.get("landing_page"),
    }
    wide = max(len(say_in(head)) for head in lines) + 2
    for head, text in lines.items():
        if text:
            say(f"{say_in(head):{wide}}{in_one_line(str(text))}")
    for one in done.get("tables", ()):
        fields = ", ".join(f"{field['name']} ({field['type']})" for field in one.get("fields", ()))
        said = say_in("table-of", name=one["name"], rows=one["rows"], fields=fields)
        say(f"{say_in('table'):{wide}}{said}")


def _tell_all(ctx: click.Context, done: dict[str, Any], language: str) -> None:
    if settings(ctx).json:
        json_line(done)
        return
    for one in done["catalogues"]:
        _tell_catalogue(one, language)
    for one in done["datasets"]:
        _tell_dataset(one, language)
    if not done["catalogues"]:
        say(phrase(language, "catalogue.none"))


def _tell_catalogue(one: dict[str, Any], language: str) -> None:
    _tell_problem(one, phrase(language, "catalogue.what", name=one["name"]), language)
    if one["problem"]:
        return
    if one["by"] is None:
        say(phrase(language, "catalogue.empty", name=in_one_line(one["name"])))
        return
    say(phrase(language, "catalogue.head", title=in_one_line(one["title"]), datasets=one["datasets"],
               by=in_one_line(one["by"]), contact=in_one_line(one["contact"])))
    say(phrase(language, "catalogue.key", words=one["words"], id=one["space"][:8]))
    _tell_key(one, in_one_line(one["name"]), language)
    for words in one["formerly"] if not one["succeeded"] else ():
        say(phrase(language, "catalogue.formerly", words=words))
    if one["unreadable"]:
        say(phrase(language, "catalogue.unreadable", count=one["unreadable"]))
    _tell_missing(one, language)


def _tell_dataset(one: dict[str, Any], language: str) -> None:
    _tell_problem(one, phrase(language, "dataset.what", name=one["dataset"]), language)
    if one["problem"]:
        return
    if not one["here"] or not one["edition"]:
        say(phrase(language, "dataset.waits", name=one["dataset"]))
        return
    head = phrase(language, "dataset.head", name=one["dataset"], number=one["edition"], rows=one["rows"],
                  tables=", ".join(one["tables"]))
    say(head if one["whole"] else phrase(language, "dataset.part", head=head))
    _tell_key(one, one["dataset"], language)
    _tell_missing(one, language)


def _tell_key(one: dict[str, Any], what: str, language: str) -> None:
    """That its publisher has a new key: once, when it is seen."""
    if one["succeeded"]:
        say(phrase(language, "key.succeeded", what=what))
        say(phrase(language, "key.words", words=one["words"], former=", ".join(one["formerly"])))


def _tell_renewed(done: dict[str, Any], language: str) -> None:
    """That others than what was asked for have a new key, which was seen meanwhile."""
    for one in done["renewed"]:
        _tell_key(one, in_one_line(one["name"]), language)


def _tell_missing(one: dict[str, Any], language: str) -> None:
    if one["missing"]:
        say(phrase(language, "dataset.missing", count=one["missing"]), err=True)


def _tell_problem(one: dict[str, Any], what: str, language: str) -> None:
    if one["full"]:
        _tell_full(one["full"], what, language)
    if one["problem"]:
        say(phrase(language, "warning", what=in_one_line(what), problem=in_one_line(one["problem"]),
                   hint=in_one_line(one["hint"] or "")),
            err=True)


def _tell_full(room: dict[str, Any], what: str, language: str) -> None:
    say(phrase(language, "room.full", what=in_one_line(what)), err=True)
    say(_room(room, what, language), err=True)
    say(phrase(language, "room.more"), err=True)


def _room(room: dict[str, Any], what: str, language: str) -> str:
    return phrase(language, "room.head", name=in_one_line(what), bytes=-(-room["bytes"] // MIB),
                  limit=room["bytes_limit"] // MIB, records=room["records"], most=room["records_limit"])


def _tell_sync(done: dict[str, Any], language: str) -> None:
    if done["sync"]:
        say(phrase(language, "sync.problem", problem=done["sync"]), err=True)
