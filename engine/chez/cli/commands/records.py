"""put, get, edit, rm: one record at a time (or a file of them)."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from chez.cli.client import call
from chez.cli.context import in_space, settings
from chez.cli.terminal import json_line, say, table, value_text
from chez.cli.values import documents, is_data, json_object, pairs
from chez.errors import ChezError, InvalidValue

__all__ = ("edit", "get", "put", "rm")

BATCH_BYTES: Final = 4 * 1024 * 1024
BATCH_RECORDS: Final = 1000


@click.command()
@click.argument("collection")
@click.argument("words", nargs=-1, metavar="[ID] JSON|FIELD=VALUE...")
@click.option("--id", "given", help="The record's id, where it could be taken for data.")
@click.option("--file", "path", type=click.Path(path_type=Path, allow_dash=True),
              help="Read one record, an array of them or JSON Lines from a file (-: standard input).")
@in_space
@click.pass_context
def put(ctx: click.Context, collection: str, words: tuple[str, ...], given: str | None, path: Path | None
        ) -> None:
    """Put a record. Without an ID it gets one; an existing one is changed to the new value.

    VALUE is JSON where it is valid JSON (3, true, [1,2], "3"), else text.

    \b
      chez put notes '{"title": "Tea", "cups": 2}'
      chez put notes monday title=Tea cups=2
      chez put notes --file notes.jsonl
    """
    if given is None and words and not is_data(words[0]):
        given, words = words[0], words[1:]
    if path is not None:
        if words:
            raise click.UsageError("give a file or a value, not both", ctx)
        _put_file(ctx, collection, given, path)
        return
    if not words:
        raise click.UsageError("what should be put? JSON, FIELD=VALUE or --file", ctx)
    value = (json_object(words[0], "the value") if len(words) == 1 and words[0].lstrip().startswith("{")
             else pairs(words))
    _put_one(ctx, collection, given, value)


def _put_one(ctx: click.Context, collection: str, given: str | None, value: dict[str, Any]) -> None:
    done = call(ctx, "put", {"collection": collection, "id": given, "value": value})
    json_line(done) if settings(ctx).json else say(done["id"])


def _put_file(ctx: click.Context, collection: str, given: str | None, path: Path) -> None:
    records = documents(path)
    if given is not None:
        if len(records) != 1:
            raise InvalidValue(f"{path} holds {len(records)} records, but one id was given",
                               "without an id each record gets one of its own")
        _put_one(ctx, collection, given, records[0])
        return
    count = 0
    try:
        for batch in _batches(records):
            done = call(ctx, "put-many", {"collection": collection, "values": batch},
                        stands=f"what was put before stays, a thousand at a time: chez ls {collection} shows it")
            count += len(batch)
            for identity in done["ids"]:
                json_line({"collection": collection, "id": identity}) if settings(ctx).json else say(identity)
    except ChezError as error:
        if count:
            error.hint = f"{error.hint} The first {count:,} of {len(records):,} were put before, and stay.".lstrip()
        raise


def _batches(records: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    encode = msgspec.msgpack.Encoder().encode
    for record in records:
        try:
            weight = len(encode(record))
        except (OverflowError, ValueError, TypeError, RecursionError) as error:
            raise InvalidValue(f"this record can't be stored: {error}",
                               "docs/records.md tells what a record holds") from None
        if batch and (size + weight > BATCH_BYTES or len(batch) == BATCH_RECORDS):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += weight
    if batch:
        yield batch


@click.command()
@click.argument("collection")
@click.argument("identity", metavar="ID")
@in_space
@click.pass_context
def get(ctx: click.Context, collection: str, identity: str) -> None:
    """Show a record."""
    record = call(ctx, "get", {"collection": collection, "id": identity})
    _show(ctx, record)


def _show(ctx: click.Context, record: dict[str, Any]) -> None:
    if settings(ctx).json:
        json_line(record)
        return
    value = record["value"]
    if isinstance(value, dict):
        table(("field", "value"), [(name, value_text(item, wide=True)) for name, item in value.items()])
    else:
        say(value_text(value, wide=True))


@click.command()
@click.argument("collection")
@click.argument("identity", metavar="ID")
@click.argument("words", nargs=-1, metavar="[FIELD=VALUE]...")
@click.option("--unset", multiple=True, metavar="FIELD", help="Remove a field.")
@in_space
@click.pass_context
def edit(ctx: click.Context, collection: str, identity: str, words: tuple[str, ...], unset: tuple[str, ...]
         ) -> None:
    """Change fields of a record in one change; the others stay as they are.

    Without FIELD=VALUE or --unset the record opens in $EDITOR as JSON. What you wrote there is not lost
    where it is no JSON: it opens again.
    """
    change = {"set": pairs(words), "unset": list(unset)}
    if not words and not unset:
        edited = _in_editor(ctx, collection, identity)
        if edited is None:
            say("nothing changed", err=True)
            return
        change = edited
    _show(ctx, call(ctx, "edit", {"collection": collection, "id": identity, **change}))


def _in_editor(ctx: click.Context, collection: str, identity: str) -> dict[str, Any] | None:
    """The change that the person made in an editor, field by field; None for none.

    Only the fields that changed are set, so that what others change meanwhile stays.
    """
    before = call(ctx, "get", {"collection": collection, "id": identity})["value"]
    after = _edited(msgspec.json.format(msgspec.json.encode(before), indent=2).decode() + "\n")
    if after is None:
        return None
    change = {"set": {name: value for name, value in after.items()
                      if name not in before or before[name] != value},
              "unset": [name for name in before if name not in after]}
    return change if any(change.values()) else None


def _edited(text: str) -> dict[str, Any] | None:
    """What the person made of a record's JSON in an editor, which opens again while it is none; None for nothing."""
    there = sys.stdin.isatty() and sys.stdout.isatty()
    if not (there or os.environ.get("VISUAL") or os.environ.get("EDITOR")):
        raise click.UsageError("what should change? FIELD=VALUE or --unset; there is no terminal for an editor",
                               click.get_current_context())
    while True:
        # The editor's file is plain text: click makes it private (0600) and removes it afterwards.
        after = click.edit(text, extension=".json", require_save=True)
        if after is None:
            return None
        try:
            return json_object(after, "the edited record")
        except InvalidValue as error:
            if not there:
                raise
            say(str(error), err=True)
        if not click.confirm("Open it again?", default=True, err=True):
            return None
        text = after


@click.command()
@click.argument("collection")
@click.argument("identity", metavar="ID")
@in_space
@click.pass_context
def rm(ctx: click.Context, collection: str, identity: str) -> None:
    """Delete a record: it goes to the trash (chez trash)."""
    done = call(ctx, "rm", {"collection": collection, "id": identity})
    if settings(ctx).json:
        json_line(done)
