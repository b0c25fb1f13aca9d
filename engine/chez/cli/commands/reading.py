"""ls, search, sql, collections: many records at a time."""

from typing import Any, Final

import click

from chez.cli.client import call
from chez.cli.context import in_space, settings
from chez.cli.terminal import json_line, say, table
from chez.cli.values import condition, word_value
from chez.phrasing import how_many

__all__ = ("collections", "ls", "search", "sql")

ROWS_FOR_PEOPLE: Final = 100
"""Rows of a table unless --limit says otherwise; programs get everything."""


@click.command()
@click.argument("collection", required=False)
@click.option("--where", "conditions", multiple=True, metavar="FIELD=VALUE",
              help="Only these; also != < <= > >=. Repeat it to ask for several at once.")
@click.option("--order-by", metavar="FIELD", help="Sort by a field; -FIELD downwards.")
@click.option("--limit", type=click.IntRange(min=0),
              help=f"At most so many (0: all). Default: {ROWS_FOR_PEOPLE} in a table, all with --json.")
@in_space
@click.pass_context
def ls(ctx: click.Context, collection: str | None, conditions: tuple[str, ...], order_by: str | None,
       limit: int | None) -> None:
    """List the records of a COLLECTION, or the collections."""
    if collection is None:
        if conditions or order_by or limit is not None:
            raise click.UsageError("--where, --order-by and --limit need a COLLECTION", ctx)
        _collections(ctx)
        return
    as_json = settings(ctx).json
    most = limit if limit is not None else 0 if as_json else ROWS_FOR_PEOPLE
    kept: list[dict[str, Any]] = []

    def page(data: dict[str, Any]) -> None:
        for record in data["records"]:
            json_line(record) if as_json else kept.append(record)

    done = call(ctx, "ls", {"collection": collection, "where": [list(condition(word)) for word in conditions],
                            "order_by": order_by, "limit": most}, show=page)
    if as_json:
        return
    fields: dict[str, None] = {}
    for record in kept:
        fields.update(dict.fromkeys(record["value"]))
    table(("id", *fields), ((record["id"], *map(record["value"].get, fields)) for record in kept),
          empty="No record of it is like that." if conditions else "There is no record in it.")
    if done["more"]:
        say(f"… and more: this shows {done['records']}; --limit 0 shows all", err=True)


@click.command()
@click.argument("collection")
@click.argument("words", nargs=-1, required=True)
@click.option("--field", "fields", multiple=True, metavar="FIELD",
              help="Search these fields from now on; repeat it for several. Needed once, unless an app declared them.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most so many.")
@in_space
@click.pass_context
def search(ctx: click.Context, collection: str, words: tuple[str, ...], fields: tuple[str, ...], limit: int) -> None:
    """Find the records of a COLLECTION where all the WORDS are, the best first.

    tea* stands for every word that begins so; a WORD of several must occur as it is. Case
    and accents make no difference.

    \b
      chez search notes --field title --field body tea milk
      chez search notes 'green tea' mil*
    """
    asked = " ".join(f'"{word}"' if " " in word.strip() and '"' not in word else word for word in words)
    as_json = settings(ctx).json
    hits: list[dict[str, Any]] = []

    def page(data: dict[str, Any]) -> None:
        for hit in data["hits"]:
            json_line(hit) if as_json else hits.append(hit)

    call(ctx, "search", {"collection": collection, "words": asked, "fields": list(fields), "limit": limit}, show=page)
    if not as_json:
        table(("id", "found"), ((hit["id"], hit["snippet"]) for hit in hits), empty="Nothing was found.")


@click.command()
@click.argument("query")
@click.argument("arguments", nargs=-1, metavar="[VALUE]...")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True,
              help="At most so many rows.")
@click.pass_context
def sql(ctx: click.Context, query: str, arguments: tuple[str, ...], limit: int) -> None:
    """Run one read-only SQL statement over the collections.

    Each collection is a view with _id, _space and its fields; a ? takes the next VALUE.

    \b
      chez sql 'select count(*) from notes where cups > ?' 1
    """
    as_json = settings(ctx).json
    columns: list[str] = []
    rows: list[list[Any]] = []

    def page(data: dict[str, Any]) -> None:
        columns.extend(data.get("columns", ()))
        for row in data["rows"]:
            json_line(_named(columns, row)) if as_json else rows.append(row)

    done = call(ctx, "sql", {"query": query, "arguments": [word_value(word) for word in arguments],
                             "limit": limit}, show=page)
    if not as_json:
        table(columns, rows)
    if done["rows"] == limit:
        say(f"stopped at {how_many(limit, 'row')}; --limit asks for more", err=True)


def _named(columns: list[str], row: list[Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for column, value in zip(columns, row, strict=True):
        key, number = column, 2
        while key in named:  # two columns of one name both stay
            key, number = f"{column}_{number}", number + 1
        named[key] = value
    return named


@click.command()
@in_space
@click.pass_context
def collections(ctx: click.Context) -> None:
    """List the collections."""
    _collections(ctx)


def _collections(ctx: click.Context) -> None:
    found = call(ctx, "collections", {})
    if settings(ctx).json:
        for one in found:
            json_line(one)
        return
    table(("collection", "records"), [(one["name"], one["records"]) for one in found], right=("records",),
          empty="There is nothing yet: chez import FILE, or chez put COLLECTION FIELD=VALUE.")
