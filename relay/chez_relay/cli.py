"""`chez-relay`: serve, and what an operator looks after a store with."""

import asyncio
import dataclasses
import functools
import json
import logging
import os
import signal
from collections.abc import Callable
from importlib import metadata
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chez_relay.config import FILE_VARIABLE, Configuration, example, load, reference, shown
from chez_relay.errors import BadConfiguration, RelayError
from chez_relay.server import RelayServer, serving
from chez_relay.settings import SETTINGS
from chez_relay.storage.census import census
from chez_relay.storage.copies import FILE_NAME
from chez_relay.storage.sqlite import SqliteStorage
from chez_wire.frames import PROTOCOL_VERSION

if TYPE_CHECKING:
    from chez_relay.tls import Certificate

__all__ = ("main",)

_log = logging.getLogger("chez_relay")


class _Refusal(click.ClickException):
    """A typed error, shown as one line."""

    exit_code = 1

    def __init__(self, error: RelayError) -> None:
        super().__init__(str(error))


@click.group()
def main() -> None:
    """A blind relay: it keeps sealed entries in order and hands them on."""


_FLAGS = {"listen": "listen", "data": "data", "names": "names", "space_quota": "quotas.space_bytes",
          "blob_quota": "quotas.blob_bytes", "token_file": "token_file", "log_file": "log_file"}
"""The settings that have a flag of their own; `--set` says any."""


def _settings(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that needs a relay's settings; it gets a `Configuration`."""

    @click.option("--config", "file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
                  help=f"Settings in TOML (`chez-relay config --example` writes one); or {FILE_VARIABLE} names it.")
    @click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="Any setting (repeatable).")
    @click.option("--listen", metavar="HOST:PORT", help=f"{SETTINGS['listen'].why} [127.0.0.1:8787]")
    @click.option("--data", metavar="FOLDER", help=SETTINGS["data"].why)
    @click.option("--name", "names", multiple=True, metavar="HOST:PORT",
                  help="A name that devices dial (repeatable). Without one: the listen address and localhost.")
    @click.option("--space-quota", metavar="BYTES", help="Bytes of entries kept for one space.")
    @click.option("--blob-quota", metavar="BYTES", help="Bytes of attachments kept for one space.")
    @click.option("--token-file", metavar="FILE", help=SETTINGS["token_file"].why)
    @click.option("--log-file", metavar="FILE", help=SETTINGS["log_file"].why)
    @functools.wraps(command)
    def with_settings(file: Path | None, changes: tuple[str, ...], **options: Any) -> None:
        flags = {_FLAGS[name]: options.pop(name) for name in _FLAGS}
        said: dict[str, object] = {name: given for name, given in flags.items() if given not in (None, ())}
        try:
            for change in changes:
                name, separator, given = change.partition("=")
                if not separator:
                    raise BadConfiguration(f"--set wants NAME=VALUE, not {change!r}")
                said[name.strip()] = given.strip()
            command(load(said, os.environ, file), **options)
        except RelayError as error:
            raise _Refusal(error) from error

    return with_settings


@main.command()
@_settings
def serve(settings: Configuration) -> None:
    """Serve devices until SIGTERM or Ctrl-C."""
    data, tokens = settings.data, settings.tokens()
    # One that notices when the file was moved away, to be rotated.
    handlers = [WatchedFileHandler(settings["log_file"], encoding="utf-8")] if settings["log_file"] else None
    layout = "%(asctime)s %(levelname)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=layout, handlers=handlers)
    try:
        asyncio.run(_serve(settings, data, tokens, settings.certificate()))
    except OSError as error:
        raise BadConfiguration(f"{settings['listen']} can't be used: {error.strerror or error}") from error


async def _serve(
    settings: Configuration, data: Path, tokens: tuple[str, ...], certificate: "Certificate | None"
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    host, port = settings.address
    storage = await SqliteStorage.open(data, quotas=settings.quotas)
    try:
        async with serving(
            storage, host, port, names=settings["names"], tokens=tokens, limits=settings.limits,
            tls=certificate.context if certificate else None,
        ) as server:
            loop.add_signal_handler(signal.SIGHUP, lambda: _reload(settings, server, certificate))
            shown_host = f"[{host}]" if ":" in host else host
            click.echo(f"chez-relay: listening on ws{'s' if certificate else ''}://{shown_host}:{server.port}")
            await stop.wait()
    finally:
        await storage.close()


def _reload(settings: Configuration, server: RelayServer, certificate: "Certificate | None") -> None:
    """Take certificate and tokens as their files are now; what makes no sense leaves things as they were."""
    try:
        tokens = settings.tokens()
        if certificate is not None:
            certificate.reload()
    except RelayError as error:
        _log.error("%s", error)
        return
    server.tokens = tokens
    _log.info("certificate and tokens were read again")


@main.command()
@click.option("--show", "way", flag_value="show", default="show", help="The settings in effect, and their origin.")
@click.option("--example", "way", flag_value="example", help="A file with every setting and its reason, to edit.")
@click.option("--reference", "way", flag_value="reference", help="The table of docs/operations.md.")
@_settings
def config(settings: Configuration, way: str) -> None:
    """Show the settings that `serve` would take with the same options, environment and file."""
    click.echo({"show": lambda: shown(settings), "example": example, "reference": reference}[way](), nl=False)


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
