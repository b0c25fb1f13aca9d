"""`chez-relay`: serve, and what an operator looks after a store with."""

import contextlib
import dataclasses
import functools
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chez_relay.cluster.commands import cluster
from chez_relay.config import FILE_VARIABLE, Configuration, example, load, reference, shown
from chez_relay.ending import Program
from chez_relay.errors import BadConfiguration
from chez_relay.release import release
from chez_relay.settings import SETTINGS, parse_address
from chez_relay.storage.census import census
from chez_relay.storage.copies import FILE_NAME
from chez_relay.tls import pin_in
from chez_wire.frames import PROTOCOL_VERSION

if TYPE_CHECKING:
    from chez_relay.storage.checking import Report

__all__ = ("main",)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(release(), message="%(prog)s %(version)s")
def main() -> None:
    """A blind relay: it keeps sealed entries in order and hands them on."""


main.add_command(cluster)

_FLAGS = {"listen": "listen", "data": "data", "names": "names", "space_quota": "quotas.space_bytes",
          "blob_quota": "quotas.blob_bytes", "nats": "cluster.nodes", "token_file": "token_file",
          "log_file": "log_file"}
"""The settings that have a flag of their own; `--set` says any."""


class _Seconds(click.FloatRange):
    """So many seconds; "nan", which lies in no range and out of none, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Raises `click.BadParameter`."""
        found = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value!r} is no number.", param, ctx)
        return found


def _settings(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that needs a relay's settings; it gets a `Configuration`."""

    @click.option("--config", "file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
                  help=f"Settings in TOML (`chez-relay config --example` writes one); or {FILE_VARIABLE} names it.")
    @click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="Any setting (repeatable).")
    @click.option("--listen", metavar="HOST:PORT", help=f"{SETTINGS['listen'].why} [127.0.0.1:8787]")
    @click.option("--data", metavar="FOLDER", help=SETTINGS["data"].why)
    @click.option("--nats", "nats", multiple=True, metavar="URL",
                  help="A node of a NATS cluster that has the store, nats://HOST:PORT (repeatable).")
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
        for change in changes:
            name, separator, given = change.partition("=")
            if not separator:
                raise BadConfiguration(f"--set wants NAME=VALUE, not {change!r}")
            said[name.strip()] = given.strip()
        command(load(said, os.environ, file), **options)

    return with_settings


@main.command()
@_settings
def serve(settings: Configuration) -> None:
    """Serve devices until SIGTERM or Ctrl-C.

    On SIGHUP the certificate and the tokens are read again.
    """
    from chez_relay.process import run

    run(settings)


@main.command(short_help="Run by `chez up`: serve the devices of this network.")
@click.option("--data", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for the store.")
@click.option("--pieces", type=click.Path(file_okay=False, path_type=Path),
              help="Folder with the pieces of attachments, which is read.")
@click.option("--listen", default="[::]:0", show_default=True, metavar="HOST:PORT", help="Address to listen on.")
def lan(data: Path, pieces: Path | None, listen: str) -> None:
    """Serve the devices on this network that keep a space of this home: run by `chez up`, not by hand.

    The spaces come on standard input; it ends with that.
    """
    from chez_relay.lan.process import run

    try:
        host, port = parse_address(listen)
    except ValueError:
        raise BadConfiguration(f"--listen wants HOST:PORT, not {listen!r}") from None
    run(data, pieces, host, port)


@main.command(short_help="Look at what a relay needs, before it starts or while it runs.")
@_settings
def doctor(settings: Configuration) -> None:
    """Look at what a relay with these settings needs: its disk, its files, its port, its limits.

    The exit code is 3 when something must be mended.
    """
    from chez_relay.doctor import examine

    worst = 0
    for finding in examine(settings):
        worst = max(worst, finding.level)
        click.echo(f"{finding.word:<8} {finding.what}: {finding.text}")
    if worst > 1:
        raise click.exceptions.Exit(3)


@main.command(short_help="Show the settings that `serve` would take, or a file to edit.")
@click.option("--show", "way", flag_value="show", default="show", help="The settings in effect, and their origin.")
@click.option("--example", "way", flag_value="example", help="A file with every setting and its reason, to edit.")
@click.option("--reference", "way", flag_value="reference", help="The table of docs/operations.md.")
@_settings
def config(settings: Configuration, way: str) -> None:
    """Show the settings that `serve` would take with the same options, environment and file."""
    click.echo({"show": lambda: shown(settings), "example": example, "reference": reference}[way](), nl=False)


@main.command(short_help="Count what the relay holds.")
@click.option("--data", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="The folder given to `serve`.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def inspect(data: Path, as_json: bool) -> None:
    """Count what the relay holds (read only, also beside a running relay)."""
    found = census(data)
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
        click.echo(f"  space {number}: {_how_many(size.entries, 'entry', 'entries')}, {size.bytes} bytes")


@main.command(short_help="Copy the store to a file, also beside a running relay.")
@click.option("--data", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="The folder given to `serve`.")
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
def backup(data: Path, target: Path) -> None:
    """Copy the store to the file TARGET (also beside a running relay).

    To come back from it, put it into an empty data folder as `relay.sqlite`: devices see that it is another
    store, and send what it lacks.
    """
    from chez_relay.storage.backup import backup as copy

    report = copy(data, target)
    click.echo(f"copied {_what(report)}, each of them whole")


@main.command(short_help="Hold all that the relay holds against its hashes.")
@click.option("--data", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="The folder given to `serve`.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def check(data: Path, as_json: bool) -> None:
    """Hold all that the relay holds against its hashes (read only, also beside a running relay).

    The exit code is 3 when something is damaged.
    """
    from chez_relay.storage.checking import check as look

    report = look(data / FILE_NAME)
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(report), "sound": report.sound}))
    else:
        click.echo(f"looked at {_what(report)}: {'all are whole' if report.sound else 'not all are whole'}")
        for line in (*report.structure, *report.findings):
            click.echo(f"  damaged: {line}")
        if report.damaged > len(report.findings):
            click.echo(f"  and {report.damaged - len(report.findings)} more")
    if not report.sound:
        raise click.exceptions.Exit(3)


@main.command(short_help="Show what a relay does at this moment.")
@click.option("--interval", default=1.0, show_default=True, type=_Seconds(0.1, 3600), metavar="SECONDS",
              help="How often to look.")
@click.option("--times", default=0, type=click.IntRange(min=0), help="Show it so often, then end; 0: until Ctrl-C.")
@click.argument("status", required=False)
@_settings
def top(settings: Configuration, status: str | None, interval: float, times: int) -> None:
    """Show what a relay does at this moment, from its page of metrics at STATUS (HOST:PORT).

    Without STATUS: where the settings say that it is.
    """
    address = (status or str(settings["status"])).removeprefix("http://").rstrip("/")
    if not address:
        raise BadConfiguration("no status address is set", "give HOST:PORT, or the relay's --config FILE")
    try:
        from rich.console import Console
    except ModuleNotFoundError as error:
        raise BadConfiguration("the display needs the package rich", "install chez with its requirements") from error
    from chez_relay.top import fetch, watch

    with contextlib.suppress(KeyboardInterrupt):
        watch(Console(), lambda: fetch(address), interval=interval, times=times)


@main.command(short_help="Print the pin of the certificate's key.")
@click.argument("certificate", type=click.Path(dir_okay=False, path_type=Path), required=False, metavar="[FILE]")
@_settings
def pin(settings: Configuration, certificate: Path | None) -> None:
    """Print the pin of the certificate's key, which devices may name: `chez relay add wss://... --pin PIN`.

    Of the certificate in a PEM file, or of `tls_certificate`. It stays the same while certificates are
    renewed for the same key. Before you change the key, tell the next one's pin: make its
    certificate, self-signed if you like, and print it from that file.
    """
    file = certificate or (Path(settings["tls_certificate"]) if settings["tls_certificate"] else None)
    if file is None:
        raise BadConfiguration("no certificate is set", "name its file, or set `tls_certificate`")
    click.echo(pin_in(file))


@main.command()
def version() -> None:
    """Show the versions of the program and the protocol."""
    click.echo(f"chez-relay {release()}, protocol {PROTOCOL_VERSION}")


def _what(report: "Report") -> str:
    return (f"{_how_many(report.entries, 'entry', 'entries')}, {_how_many(report.chunks, 'chunk', 'chunks')}, "
            f"{_how_many(report.packets, 'packet', 'packets')} and {_how_many(report.items, 'item', 'items')}")


def _how_many(number: int, single: str, several: str) -> str:
    return f"{number} {single if number == 1 else several}"
