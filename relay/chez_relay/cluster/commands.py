"""`chez-relay cluster`: three nodes on this machine, to try a relay on a cluster."""

import asyncio
import time
from pathlib import Path
from typing import Final

import click

from chez_relay.cluster.greeting import NoGreeting, greeted
from chez_relay.cluster.nodes import NODES, Cluster, Node
from chez_relay.errors import BadConfiguration
from chez_relay.settings import SETTINGS

__all__ = ("cluster",)

ANSWER_SECONDS: Final = 2.0
START_SECONDS: Final = 10.0
"""For a node that was started: it looks through what it has stored first."""

SILENT_SECONDS: Final = 3.0
"""For a cluster to answer before it is said that it does not yet."""

_data = click.option("--data", required=True, type=click.Path(file_okay=False, path_type=Path),
                     help="The folder of the cluster; made when missing.")


@click.group(short_help="Three NATS nodes on this machine, to try a cluster.")
def cluster() -> None:
    """Three NATS nodes on this machine, to try a relay on a cluster (docs/operations.md tells of real ones)."""


@cluster.command()
@_data
def up(data: Path) -> None:
    """Start the nodes that don't run, and show how relays use them. The exit code is 3 when one does not come up."""
    made = Cluster.at(data.absolute())
    made.start()
    end = time.monotonic() + START_SECONDS
    while any(made.process(node.name) and not _stores(node) for node in made.nodes) and time.monotonic() < end:
        time.sleep(0.1)
    storing = _show(made)
    click.echo("chez-relay serve " + " ".join(f"--nats {url}" for url in made.urls))
    if storing < len(NODES):
        raise click.exceptions.Exit(3)


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
    """Show which nodes run and store. The exit code is 3 when fewer than two do: then nothing is acknowledged."""
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
        nodes = SETTINGS["cluster.nodes"].parse(urls)
    except ValueError:
        raise BadConfiguration("--nats wants nats://HOST:PORT") from None
    try:
        from chez_relay.storage.jetstream.renewing import renewed
        from chez_relay.storage.jetstream.store import OPENING
    except ImportError:
        raise BadConfiguration("this installation has no NATS client", "pip install chez[cluster]") from None

    async def act() -> None:
        renewing = asyncio.ensure_future(renewed(nodes, prefix))
        if not (await asyncio.wait((renewing,), timeout=SILENT_SECONDS))[0]:
            click.echo(f"chez-relay: the cluster gives no answer yet: it is waited for, {OPENING:.0f} s in all "
                       "(`chez-relay doctor` looks at its nodes)", err=True)
        await renewing

    asyncio.run(act())
    click.echo("renewed")


def _show(made: Cluster) -> int:
    """One line for each node; how many store what they are given."""
    storing = 0
    for node in made.nodes:
        stores = _stores(node) if made.process(node.name) is not None else None
        storing += stores or False
        if stores is None:
            state = _ended(made, node) if made.process(node.name) is None else "starts, or hangs"
        else:
            state = "answers" if stores else f"answers and stores nothing, see {node.name}.log; then start it again"
        click.echo(f"{node.name}  {node.url}  {state}")
    return storing


def _ended(made: Cluster, node: Node) -> str:
    """What is known of a node that does not run."""
    if not made.died(node.name):
        return "does not run"
    ended = f"does not run, see {node.name}.log"
    port = made.taken(node)
    return ended if port is None else f"{ended}: another program has its port {port}; end that one, then start it again"


def _stores(node: Node) -> bool | None:
    """Whether a node's JetStream is there, which ends by itself when its disk is full; None while it does not answer.
    """
    try:
        return greeted("127.0.0.1", node.client, ANSWER_SECONDS).jetstream
    except (OSError, NoGreeting):
        return None
