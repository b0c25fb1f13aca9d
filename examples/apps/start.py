"""How the three applications are started: `python -m examples.apps.my_energy HOME [--svg FILE]`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from getpass import getpass
from pathlib import Path

import click

import chez

__all__ = ("Look", "Page", "command")


@dataclass(frozen=True, slots=True)
class Page:
    """What an application shows: text for a terminal, and a picture."""

    text: str = field(repr=False)
    svg: str = field(repr=False)


Look = Callable[[chez.Home], Awaitable[Page]]


def command(look: Look) -> click.Command:
    """A command that opens the home it is given, and shows what an application sees in it."""

    @click.command(context_settings={"help_option_names": ["-h", "--help"]})
    @click.argument("home", type=click.Path(exists=True, path_type=Path))
    @click.option("--svg", type=click.Path(path_type=Path), help="Write the picture into this file.")
    @click.option("--passphrase-file", type=click.Path(exists=True, path_type=Path), help="Its first line is it.")
    def main(home: Path, svg: Path | None, passphrase_file: Path | None) -> None:
        passphrase = getpass("Passphrase: ") if passphrase_file is None else passphrase_file.read_text().splitlines()[0]
        try:
            page = asyncio.run(_shown(look, home, passphrase))
        except chez.ChezError as error:
            raise click.ClickException(str(error)) from None
        click.echo(page.text)
        if svg is not None:
            svg.write_text(page.svg, encoding="utf-8")

    return main


async def _shown(look: Look, path: Path, passphrase: str) -> Page:
    async with chez.open(path, passphrase=passphrase) as home:
        return await look(home)
