"""data: open data of cities and others, found, subscribed and checked on this device."""

from datetime import UTC, datetime
from typing import Any

import click

from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.terminal import json_line, say, table

__all__ = ("data",)


@click.group()
def data() -> None:
    """Open data: follow a publisher's catalogue, subscribe datasets, and query them with `chez sql`.

    Catalogues and datasets come whole, and are searched here, so that nobody learns what you look up. The relay sees
    which datasets you subscribe.
    """


@data.command()
@click.argument("address")
@click.pass_context
def add(ctx: click.Context, address: str) -> None:
    """Follow a catalogue by its ADDRESS (chez-public:...)."""
    done = call(ctx, "data-add", {"address": address})
    if settings(ctx).json:
        json_line(done)
        return
    _tell_catalogue(done)
    _tell_sync(done)


@data.command()
@click.argument("catalogue")
@click.pass_context
def remove(ctx: click.Context, catalogue: str) -> None:
    """Follow a CATALOGUE no more, by its name or the beginning of its id. What you subscribed of it stays."""
    done = call(ctx, "data-remove", {"name": catalogue})
    if settings(ctx).json:
        json_line(done)
    else:
        say(f"{catalogue}: not followed any more")


@data.command()
@click.argument("words", nargs=-1)
@click.option("--theme", metavar="CODE", help="Only of this theme, such as TRAN, ENVI or ENER.")
@click.option("--limit", type=click.IntRange(1, 5000), default=20, show_default=True, help="At most so many.")
@click.pass_context
def search(ctx: click.Context, words: tuple[str, ...], theme: str | None, limit: int) -> None:
    """Find datasets that have all WORDS, in the catalogues that you follow; without words, all of them."""
    hits: list[dict[str, Any]] = []
    done = call(ctx, "data-search", {"query": " ".join(words), "theme": theme, "limit": limit},
                show=lambda page: hits.extend(page["datasets"]))
    if settings(ctx).json:
        for hit in hits:
            json_line(hit)
        return
    for one in done["catalogues"]:
        _tell_problem(one, f"catalogue {one['name']}")
    table(("dataset", "title", "rows", "as of", ""), (
        (hit["id"], hit["title"], hit["rows"], hit.get("modified"),
         "subscribed" if hit["subscribed"] else "" if hit.get("address") else "not here") for hit in hits))
    if done["found"] > len(hits):
        say(f"… and {done['found'] - len(hits)} more: --limit shows them", err=True)


@data.command()
@click.argument("name")
@click.pass_context
def show(ctx: click.Context, name: str) -> None:
    """Show what is said of a dataset, and how it stands here."""
    done = call(ctx, "data-show", {"name": name})
    if settings(ctx).json:
        json_line(done)
        return
    say(f"{_line(done['title'])}\n\n{done['description']}\n")
    spatial = done.get("spatial") or {}
    lines = {
        "by": f"{done['by'] or 'nobody that is named'}, key in words: {done['words']}",
        "licence": done["licence"],
        "themes": ", ".join((*done.get("themes", ()), *done.get("keywords", ()))),
        "where": spatial.get("name"),
        "when": " to ".join(filter(None, (done.get("begins"), done.get("ends")))),
        "updated": ", ".join(filter(None, (done.get("frequency"), done.get("modified")))),
        "see": done.get("landing_page"),
    }
    for head, text in lines.items():
        if text:
            say(f"{head:9}{_line(str(text))}")
    for one in done.get("tables", ()):
        fields = ", ".join(f"{field['name']} ({field['type']})" for field in one.get("fields", ()))
        say(f"table    {one['name']}, {one['rows']} rows: {fields}")
    if (here := done["here"]) is None:
        say(f"\nNot subscribed: chez data subscribe {done['id']}" if done.get("address") else "\nIts data is not here.")
        return
    say("")
    _tell_dataset(here)
    if here["tables"]:
        say(f"Try:  chez sql 'select * from {here['tables'][0]} limit 5'")


@data.command("list")
@click.pass_context
def list_(ctx: click.Context) -> None:
    """Show the datasets that you subscribed, and the catalogues that you follow."""
    _tell_all(ctx, call(ctx, "data-list", {}))


@data.command()
@click.argument("name")
@click.pass_context
def subscribe(ctx: click.Context, name: str) -> None:
    """Fetch a dataset, and keep it in step, on all your devices."""
    done = call(ctx, "data-subscribe", {"name": name})
    if settings(ctx).json:
        json_line(done)
        return
    _tell_dataset(done)
    _tell_sync(done)


@data.command()
@click.argument("name")
@click.pass_context
def unsubscribe(ctx: click.Context, name: str) -> None:
    """Erase a dataset here, and on your other devices when they update."""
    done = call(ctx, "data-unsubscribe", {"name": name})
    if settings(ctx).json:
        json_line(done)
    else:
        say(f"{name}: unsubscribed")


@data.command()
@click.pass_context
def update(ctx: click.Context) -> None:
    """Bring all of it into step, and check it against what its publishers signed.

    Any `chez sync` brings new data too; this also does on this device what you subscribed or unsubscribed on another.
    """
    done = call(ctx, "data-update", {})
    _tell_all(ctx, done)
    if not settings(ctx).json:
        _tell_sync(done)
        for problem in done["problems"]:
            say(f"Not done: {problem}", err=True)
    if any(one["problem"] for one in (*done["datasets"], *done["catalogues"])):
        ctx.exit(1)


@data.command()
@click.argument("name")
@click.option("--at", type=click.IntRange(min=1), metavar="NUMBER",
              help="Print the rows of this version, one JSON line each.")
@click.pass_context
def versions(ctx: click.Context, name: str, at: int | None) -> None:
    """List the versions of a dataset that are known here, or tell an old one."""
    if at is not None:
        call(ctx, "data-rows", {"name": name, "number": at}, show=_print_rows)
        return
    done = call(ctx, "data-versions", {"name": name})
    if settings(ctx).json:
        json_line(done)
        return
    table(("version", "of", "rows", "added", "changed", "removed", ""), (
        (one["number"], datetime.fromtimestamp(one["time"], UTC).strftime("%Y-%m-%d %H:%M UTC"), one["rows"],
         one["added"], one["changed"], one["removed"], "" if one["whole"] else "a part") for one in done["editions"]))
    say(f"head {done['head']}: compare it with what others see", err=True)


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


def _line(text: str) -> str:
    """What a publisher wrote, without its line breaks: it begins no line of ours."""
    return " ".join(text.split())


def _tell_all(ctx: click.Context, done: dict[str, Any]) -> None:
    if settings(ctx).json:
        json_line(done)
        return
    for one in done["catalogues"]:
        _tell_catalogue(one)
    for one in done["datasets"]:
        _tell_dataset(one)
    if not done["catalogues"]:
        say("No catalogue is followed: chez data add ADDRESS")


def _tell_catalogue(one: dict[str, Any]) -> None:
    _tell_problem(one, f"catalogue {one['name']}")
    if one["problem"]:
        return
    if one["by"] is None:
        say(f"{_line(one['name'])}: nothing of it is here yet")
        return
    say(f"{_line(one['title'])}: {one['datasets']} datasets, by {_line(one['by'])} ({_line(one['contact'])})")
    say(f"  key in words: {one['words']}\n  id: {one['space'][:8]}")
    if one["unreadable"]:
        say(f"  {one['unreadable']} more say nothing readable of themselves")
    _tell_missing(one)


def _tell_dataset(one: dict[str, Any]) -> None:
    _tell_problem(one, f"dataset {one['dataset']}")
    if one["problem"]:
        return
    if not one["here"] or not one["edition"]:
        say(f"{one['dataset']}: subscribed, and nothing of it is here yet: chez data update")
        return
    part = "" if one["whole"] else ", more of it is to come"
    say(f"{one['dataset']}: version {one['edition']}, {one['rows']} rows in {', '.join(one['tables'])}{part}")
    _tell_missing(one)


def _tell_missing(one: dict[str, Any]) -> None:
    if one["missing"]:
        say(f"  {one['missing']} newer versions are known of and not here: they are still to come, or the relay "
            "holds them back", err=True)


def _tell_problem(one: dict[str, Any], what: str) -> None:
    if one["problem"]:
        say(f"WARNING  {_line(what)}: {_line(one['problem'])}\n  {_line(one['hint'] or '')}", err=True)


def _tell_sync(done: dict[str, Any]) -> None:
    if done["sync"]:
        say(f"Not in step now: {done['sync']}", err=True)
