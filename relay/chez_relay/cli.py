"""`chez-relay`: serve, and what an operator looks after a store with."""

import asyncio
import dataclasses
import json
import logging
import signal
from importlib import metadata
from pathlib import Path

import click

from chez_relay.errors import BadConfiguration, RelayError
from chez_relay.server import serving
from chez_relay.storage import Quotas
from chez_relay.storage.census import census
from chez_relay.storage.copies import FILE_NAME
from chez_relay.storage.sqlite import SqliteStorage
from chez_wire.frames import PROTOCOL_VERSION
from chez_wire.limits import MAX_BLOB_BYTES, MAX_SPACE_BYTES

__all__ = ("main",)


class _Refusal(click.ClickException):
    """A typed error, shown as one line."""

    exit_code = 1

    def __init__(self, error: RelayError) -> None:
        super().__init__(str(error))


@click.group()
def main() -> None:
    """A blind relay: it keeps sealed entries in order and hands them on."""


def _parse_listen(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdigit() or int(port) > 65535:
        raise BadConfiguration(f"--listen wants HOST:PORT, not {text!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


def _tokens(file: Path | None) -> tuple[str, ...]:
    if file is None:
        return ()
    try:
        lines = file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration("the token file can't be read") from error
    if not lines:
        raise BadConfiguration("the token file is empty", "write one token a line, or leave --token-file out")
    return tuple(lines)


@main.command()
@click.option("--listen", default="127.0.0.1:8787", show_default=True, metavar="HOST:PORT",
              help="Address to listen on; port 0 takes any free one.")
@click.option("--data", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="Folder for the store; made when missing.")
@click.option("--name", "names", multiple=True, metavar="HOST:PORT",
              help="A name that devices dial (repeatable). Without one: the listen address and localhost.")
@click.option("--space-quota", default=MAX_SPACE_BYTES, show_default=True, type=click.IntRange(min=1),
              metavar="BYTES", help="Bytes of entries kept for one space.")
@click.option("--blob-quota", default=MAX_BLOB_BYTES, show_default=True, type=click.IntRange(min=0),
              metavar="BYTES", help="Bytes of attachments kept for one space.")
@click.option("--token-file", type=click.Path(dir_okay=False, path_type=Path),
              help="Tokens that allow creating spaces, one a line. Without: everybody may.")
@click.option("--log-file", type=click.Path(dir_okay=False, path_type=Path), help="Write the log there.")
def serve(
    listen: str, data: Path, names: tuple[str, ...], space_quota: int, blob_quota: int, token_file: Path | None,
    log_file: Path | None,
) -> None:
    """Serve devices until SIGTERM or Ctrl-C."""
    try:
        host, port = _parse_listen(listen)
        for name in names:
            _parse_listen(name)
        handlers = [logging.FileHandler(log_file, encoding="utf-8")] if log_file else None
        layout = "%(asctime)s %(levelname)s %(message)s"
        logging.basicConfig(level=logging.INFO, format=layout, handlers=handlers)
        quotas = Quotas(space_bytes=space_quota, blob_bytes=blob_quota)
        asyncio.run(_serve(host, port, data, names, quotas, _tokens(token_file)))
    except RelayError as error:
        raise _Refusal(error) from error
    except OSError as error:
        raise _Refusal(BadConfiguration(f"{listen} can't be used: {error.strerror or error}")) from error


async def _serve(
    host: str, port: int, data: Path, names: tuple[str, ...], quotas: Quotas, tokens: tuple[str, ...]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    storage = await SqliteStorage.open(data, quotas=quotas)
    try:
        async with serving(storage, host, port, names=names, tokens=tokens) as server:
            shown = f"[{host}]" if ":" in host else host
            click.echo(f"chez-relay: listening on ws://{shown}:{server.port}")
            await stop.wait()
    finally:
        await storage.close()


@main.command()
@click.option("--data", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="The folder given to `serve`.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def inspect(data: Path, as_json: bool) -> None:
    """Count what the relay holds (read only, also beside a running relay)."""
    try:
        found = census(data)
    except RelayError as error:
        raise _Refusal(error) from error
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found)))
        return
    click.echo(f"store    {found.incarnation[:16]}…")
    click.echo(f"spaces   {found.spaces}")
    click.echo(f"entries  {found.entries}")
    click.echo(f"bytes    {found.bytes}")
    click.echo(f"chunks   {found.chunks} holding {found.blob_bytes} bytes of attachments")
    click.echo(f"packets  {found.packets}")
    click.echo(f"inboxes  {found.inboxes} holding {found.items} items")
    for number, size in enumerate(found.sizes, 1):
        click.echo(f"  space {number}: {size.entries} entries, {size.bytes} bytes")


@main.command()
@click.option("--data", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="The folder given to `serve`.")
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
def backup(data: Path, target: Path) -> None:
    """Copy the store to the file TARGET (also beside a running relay).

    To come back from it, put it into an empty data folder as `relay.sqlite`: devices see that it is another
    store, and send what it lacks.
    """
    from chez_relay.storage.backup import backup as copy

    try:
        report = copy(data, target)
    except RelayError as error:
        raise _Refusal(error) from error
    click.echo(f"copied {report.entries} entries, {report.chunks} chunks, {report.packets} packets and "
               f"{report.items} items, each of them whole")


@main.command()
@click.option("--data", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="The folder given to `serve`.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def check(data: Path, as_json: bool) -> None:
    """Hold all that the relay holds against its hashes (read only, also beside a running relay).

    The exit code is 3 when something is damaged.
    """
    from chez_relay.storage.checking import check as look

    try:
        report = look(data / FILE_NAME)
    except RelayError as error:
        raise _Refusal(error) from error
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(report), "sound": report.sound}))
    else:
        click.echo(f"looked at {report.entries} entries, {report.chunks} chunks, {report.packets} packets and "
                   f"{report.items} items: {'all are whole' if report.sound else 'not all are whole'}")
        for line in (*report.structure, *report.findings):
            click.echo(f"  damaged: {line}")
        if report.damaged > len(report.findings):
            click.echo(f"  and {report.damaged - len(report.findings)} more")
    if not report.sound:
        raise click.exceptions.Exit(3)


@main.command()
def version() -> None:
    """Show the versions of the program and the protocol."""
    click.echo(f"chez-relay {metadata.version('chez')}, protocol {PROTOCOL_VERSION}")
