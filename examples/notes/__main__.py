"""`python -m examples.notes HOME [--relay URL]`: open the notes of a home, or make it first."""

import asyncio
from getpass import getpass
from pathlib import Path

import click
from examples.notes.app import NotesApp

import chez


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("home", type=click.Path(path_type=Path))
@click.option("--relay", metavar="URL", help="Keep in step with this relay, such as ws://127.0.0.1:8787.")
@click.option("--passphrase-file", type=click.Path(exists=True, path_type=Path), help="The first line of this file.")
def main(home: Path, relay: str | None, passphrase_file: Path | None) -> None:
    """Notes in the terminal, in step with your other devices."""
    passphrase = getpass("Passphrase: ") if passphrase_file is None else passphrase_file.read_text().splitlines()[0]
    try:
        asyncio.run(run(home, relay, passphrase))
    except chez.ChezError as error:
        raise click.ClickException(str(error)) from None


async def run(path: Path, relay: str | None, passphrase: str) -> None:
    """Open the home and show it."""
    if not path.exists():
        words = await chez.create(path, passphrase=passphrase, name="notes")
        click.echo(f"A new home. These words recover it; keep them on paper:\n\n{words}\n")
        click.pause()
    async with chez.open(path, passphrase=passphrase) as home:
        await NotesApp(home, relay).run_async()


if __name__ == "__main__":
    main()
