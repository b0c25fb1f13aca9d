"""history, undo, redo, conflicts, resolve, trash, undelete, purge: what was, and what goes for good."""

from contextlib import suppress
from typing import Any, Final

import click

from chez.cli.client import call
from chez.cli.context import in_space, settings
from chez.cli.language import LANGUAGE
from chez.cli.terminal import Terminal, json_line, say, table, when
from chez.errors import Damaged, NotAllowed
from chez.phrasing import filled, how_many

__all__ = ("conflicts", "history", "purge", "redo", "resolve", "trash", "undelete", "undo")

LOOKED_AT: Final = 10_000
"""Changes that an answer is of at most: then there may be more, though it has fewer lines than asked for."""

SHORT: Final = 12
"""Characters of a change's hash that are shown to people."""


@click.command()
@click.argument("collection")
@click.argument("identity", metavar="ID")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="At most so many.")
@click.option("--before", metavar="CHANGE", help="Only those before this one.")
@click.option("--each", is_flag=True, help="Every change by itself, as with --json.")
@click.option("--at", "point", metavar="CHANGE", help="Show the record as it was with this change.")
@click.option("--diff", "since", metavar="CHANGE", help="Show what differs since this change (with --at: up to that).")
@in_space
@click.pass_context
def history(ctx: click.Context, collection: str, identity: str, limit: int, before: str | None, each: bool,
            point: str | None, since: str | None) -> None:
    """Show the changes of a record, the newest first: who, when, which fields.

    What a device did in the same fields without a pause of five minutes is one line, named by its last
    change. A CHANGE is named by the first characters of its hash.

    \b
      chez history notes tea
      chez history notes tea --at 3f2a91
      chez history notes tea --diff 3f2a91
    """
    one = {"collection": collection, "id": identity}
    if since is not None:
        _diff(ctx, one | {"a": since, "b": point})
    elif point is not None:
        record = call(ctx, "at", one | {"point": point})
        if settings(ctx).json:
            json_line(record)
        else:
            table(("field", "value"), list(record["value"].items()))
    else:
        found = _rows(ctx, "history", one | {
            "limit": limit, "before": before, "grouped": not (each or settings(ctx).json)}, "changes")
        if not settings(ctx).json:
            table(("change", "when", "device", "what", "fields"), [
                (row["hash"][:SHORT], when(row["time"]), _who(row), _what(row), " ".join(row["fields"]))
                for row in found])
            if len(found) == limit or sum(row["count"] for row in found) >= LOOKED_AT:
                say(f"… and maybe more: --before {found[-1]['oldest'][:SHORT]}", err=True)


def _what(row: dict[str, Any]) -> str:
    kind: str = row["kind"]
    return kind if row["count"] == 1 else f"{kind}, {row['count']:,} times since {when(row['since'])}"


def _diff(ctx: click.Context, params: dict[str, Any]) -> None:
    found = _rows(ctx, "diff", params, "differences")
    if not settings(ctx).json:
        table(("field", "what", "before", "after"),
              [(row["field"], row["kind"], row["before"], row["after"]) for row in found])


@click.command()
@click.argument("collection")
@click.argument("identity", metavar="ID")
@in_space
@click.pass_context
def undo(ctx: click.Context, collection: str, identity: str) -> None:
    """Undo this device's last change of a record, whatever other devices changed since.

    What others wrote at the same place stays, and is named. Again and again it goes further
    back; undoing the change that made a record deletes it.
    """
    _reversed(ctx, "undo", "undone", collection, identity)


@click.command()
@click.argument("collection")
@click.argument("identity", metavar="ID")
@in_space
@click.pass_context
def redo(ctx: click.Context, collection: str, identity: str) -> None:
    """Take back the last undo, unless this device changed the record since."""
    _reversed(ctx, "redo", "done again", collection, identity)


def _reversed(ctx: click.Context, verb: str, how: str, collection: str, identity: str) -> None:
    done = call(ctx, verb, {"collection": collection, "id": identity})
    if settings(ctx).json:
        json_line(done)
        return
    if done["fields"] or not done["left"]:
        say(f"{how}: {' '.join(done['fields']) or 'change ' + done['change'][:SHORT]}")
    else:
        say(f"nothing of change {done['change'][:SHORT]} is {how}")
    if done["left"]:
        say(f"left as it was written since, by others or by an import: {' '.join(done['left'])}", err=True)


_CONFLICTS: Final = {
    "en": ("space|collection|id|field|number|device|value", "No field of this record has more than one value.",
           "No field of a record of {collection!r} has more than one value.",
           "No field of a record has more than one value."),
    "fr": ("espace|collection|id|champ|numéro|appareil|valeur",
           "Aucun champ de cet enregistrement n'a plusieurs valeurs.",
           "Aucun champ d'un enregistrement de « {collection} » n'a plusieurs valeurs.",
           "Aucun champ d'un enregistrement n'a plusieurs valeurs."),
}
"""The heads of the columns, and what is said where nothing is found: of a record, of a collection, of all."""


@click.command()
@click.argument("collection", required=False)
@click.argument("identity", metavar="[ID]", required=False)
@in_space
@LANGUAGE
@click.pass_context
def conflicts(ctx: click.Context, collection: str | None, identity: str | None, language: str) -> None:
    """Show the fields of a record that devices set at the same time, with every value.

    The first version of each is the one that shows. Without ID those of a whole COLLECTION are
    shown, without both those of all your spaces. A record whose history can't be read is named at the end.
    """
    found, done = _rows_and_end(ctx, "conflicts", {"collection": collection, "id": identity}, "conflicts")
    if not settings(ctx).json:
        place = () if identity else _place(ctx, found, "collection", "id")
        names, *none = _CONFLICTS[language]
        heads = dict(zip(_CONFLICTS["en"][0].split("|"), names.split("|"), strict=True))
        table([heads[one] for one in (*place, "field", "number", "device", "value")], [
            (*(row[one] for one in place), row["field"], number, _who(version), version["value"])
            for row in found for number, version in enumerate(row["versions"], 1)], right=(heads["number"],),
            empty=filled(language, none[0 if identity else 1 if collection else 2], {"collection": collection}))
    if done["damaged"]:
        first, *others = done["damaged"]
        more = f"; nor can {how_many(len(others), 'other record')}" if others else ""
        raise Damaged(first["message"] + more, first["hint"])


@click.command()
@click.argument("collection")
@click.argument("identity", metavar="ID")
@click.argument("field")
@click.argument("number", type=click.IntRange(min=1))
@in_space
@click.pass_context
def resolve(ctx: click.Context, collection: str, identity: str, field: str, number: int) -> None:
    """Settle a conflict: the version with this NUMBER stays, the others go.

    FIELD and NUMBER are as `chez conflicts` shows them.
    """
    done = call(ctx, "resolve", {"collection": collection, "id": identity, "field": field, "number": number})
    if settings(ctx).json:
        json_line(done)


@click.command()
@click.argument("collection", required=False)
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, help="At most so many.")
@in_space
@click.pass_context
def trash(ctx: click.Context, collection: str | None, limit: int) -> None:
    """List the deleted records of a COLLECTION: who deleted them, and when; without it, of all your spaces."""
    found = _rows(ctx, "trash", {"collection": collection, "limit": limit}, "records")
    if not settings(ctx).json:
        place = () if collection else _place(ctx, found, "collection")
        table((*place, "id", "deleted by", "when", "value"),
              [(*(row[one] for one in place), row["id"], _who(row), when(row["time"]), row["value"]) for row in found],
              empty=f"No deleted record{f' of {collection!r}' if collection else ''} is in the trash.")


@click.command()
@click.argument("collection")
@click.argument("identity", metavar="ID")
@in_space
@click.pass_context
def undelete(ctx: click.Context, collection: str, identity: str) -> None:
    """Take a record out of the trash."""
    _done(ctx, call(ctx, "undelete", {"collection": collection, "id": identity}))


@click.command()
@click.argument("collection")
@click.argument("identity", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@in_space
@click.pass_context
def purge(ctx: click.Context, collection: str, identity: str, yes: bool) -> None:
    """Erase a record for good, here and on your other devices. It never comes back.

    What was sent before stays, sealed, in entries at the relay and on your devices, and
    in checkpoints of them.
    """
    if not yes:
        with suppress(Damaged):  # there it is, also where nothing of it can be read
            call(ctx, "history", {"collection": collection, "id": identity, "limit": 1}, show=lambda _: None)
        if not Terminal(settings(ctx)).confirm(f"Erase {identity} of {collection} for good?"):
            raise NotAllowed("nothing was changed")
    _done(ctx, call(ctx, "purge", {"collection": collection, "id": identity}))


def _done(ctx: click.Context, done: dict[str, Any]) -> None:
    if settings(ctx).json:
        json_line(done)


def _rows(ctx: click.Context, verb: str, params: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """What a verb sends in pages; for programs printed line by line as it comes."""
    return _rows_and_end(ctx, verb, params, key)[0]


def _rows_and_end(ctx: click.Context, verb: str, params: dict[str, Any], key: str) -> tuple[list[dict[str, Any]], Any]:
    """As `_rows`, and what the verb ends with."""
    kept: list[dict[str, Any]] = []
    as_json = settings(ctx).json

    def page(data: dict[str, Any]) -> None:
        for row in data[key]:
            json_line(row) if as_json else kept.append(row)

    end = call(ctx, verb, params, show=page)
    return kept, end


def _place(ctx: click.Context, found: list[dict[str, Any]], *columns: str) -> tuple[str, ...]:
    """The columns that tell where rows are from: their space too, if some are where no `--space` was needed to look."""
    told = settings(ctx).space is not None or all(row["space"] == "private" for row in found)
    return columns if told else ("space", *columns)


def _who(row: dict[str, Any]) -> str:
    return str(row["device_name"] or row["device"][:SHORT])
