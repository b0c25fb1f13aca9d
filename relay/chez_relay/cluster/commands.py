"""`chez-relay cluster`: three nodes on this machine, to try a relay on a cluster."""

import asyncio
import socket
from contextlib import closing
from pathlib import Path
from typing import Final

import click

from chez_relay.cluster.nodes import NODES, Cluster, Node
from chez_relay.errors import BadConfiguration

__all__ = ("cluster",)

ANSWER_SECONDS: Final = 2.0

_data = click.option("--data", required=True, type=click.Path(file_okay=False, path_type=Path),
                     help="The folder of the cluster; made when missing.")


@click.group(short_help="Three NATS nodes on this machine, to try a cluster.")
def cluster() -> None:
    """Three NATS nodes on this machine, to try a relay on a cluster (docs/operations.md tells of real ones)."""


@cluster.command()
@_data
def up(data: Path) -> None:
    """Start the nodes that don't run, and show how relays use them."""
    made = Cluster.at(data.absolute())
    made.start()
    _show(made)
    click.echo("chez-relay serve " + " ".join(f"--nats {url}" for url in made.urls))


@cluster.command()
@_data
def down(data: Path) -> None:
    """End the nodes; what they store stays."""
    made = Cluster.there(data.absolute())
    made.stop()
    _show(made)


@cluster.command()
@_data
def status(data: Path) -> None:
    """Show which nodes run and answer. The exit code is 3 when fewer than two do: then nothing is acknowledged."""
    made = Cluster.there(data.absolute())
    if _show(made) <= len(NODES) // 2:
        raise click.exceptions.Exit(3)


@cluster.command(short_help="Give the store another incarnation, after it lost entries.")
@click.option("--nats", "urls", multiple=True, required=True, metavar="URL", help="A node (repeatable).")
@click.option("--prefix", default="chez", show_default=True, help="As `cluster.prefix` of the relays.")
def renew(urls: tuple[str, ...], prefix: str) -> None:
    """Give the store on a cluster another incarnation: devices look at all of it and send what it lacks.

    For a store that lost entries and no relay noticed; devices say then that it was rolled back.
    """
    try:
        from chez_relay.storage.jetstream.engine import Unavailable
        from chez_relay.storage.jetstream.store import JetStreamStorage
    except ImportError:
        raise BadConfiguration("this installation has no NATS client", "pip install chez[cluster]") from None

    async def act() -> None:
        store = await JetStreamStorage.open(urls, prefix=prefix)
        try:
            await store.renew()
        finally:
            await store.close()

    try:
        asyncio.run(act())
    except Unavailable as error:
        raise click.ClickException(str(error)) from error
    click.echo("renewed")


def _show(made: Cluster) -> int:
    """One line for each node; how many answer."""
    answering = 0
    for node in made.nodes:
        pid = made.process(node.name)
        answers = pid is not None and _answers(node)
        answering += answers
        state = "answers" if answers else "starts, or hangs" if pid is not None else "does not run"
        click.echo(f"{node.name}  {node.url}  {state}")
    return answering


def _answers(node: Node) -> bool:
    """Whether a node greets who connects: a server of NATS speaks first."""
    try:
        with closing(socket.create_connection(("127.0.0.1", node.client), ANSWER_SECONDS)) as line:
            return line.recv(4) == b"INFO"
    except OSError:
        return False
