"""`chez-relay cluster`: three nodes on this machine, to try a relay on a cluster; and what a store on any may need."""

import asyncio
import importlib
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Final, TypeVar

import click

from chez_relay.cluster.greeting import NoGreeting, greeted
from chez_relay.cluster.nodes import NODES, Cluster, Node
from chez_relay.errors import BadConfiguration
from chez_relay.settings import SETTINGS

__all__ = ("cluster",)

T = TypeVar("T")

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


_nats = click.option("--nats", "urls", multiple=True, required=True, metavar="URL", help="A node (repeatable).")
_prefix = click.option("--prefix", default="chez", show_default=True, help="As `cluster.prefix` of the relays.")


@cluster.command(short_help="Give the store another incarnation, after it lost entries.")
@_nats
@_prefix
def renew(urls: tuple[str, ...], prefix: str) -> None:
    """Give the store on a cluster another incarnation: devices look at all of it and send what it lacks.

    For a store that lost entries and no relay noticed; devices say then that it was rolled back.
    """
    nodes = _nodes(urls)
    from chez_relay.storage.jetstream.store import OPENING
    from chez_relay.storage.jetstream.tending import renewed

    asyncio.run(_told(renewed(nodes, prefix), "the cluster gives no answer yet: it is waited for, "
                      f"{OPENING:.0f} s in all (`chez-relay doctor` looks at its nodes)"))
    click.echo("renewed")


@cluster.command(short_help="Count the attachments of all spaces anew, after some were lost.")
@_nats
@_prefix
def recount(urls: tuple[str, ...], prefix: str) -> None:
    """Count anew what the attachments of each space take, beside the relays: what the cluster lost counts until then.

    Spaces are left out into which something was put in the last ten minutes. The exit code is 3 when some were.
    """
    nodes = _nodes(urls)
    from chez_relay.storage.jetstream.tending import recounted

    found = asyncio.run(_told(recounted(nodes, prefix), "each space is looked at, and a cluster that gives no answer "
                              "is waited for (`chez-relay doctor` looks at its nodes)"))
    click.echo(f"{found.spaces} spaces have attachments; {found.given_back} bytes counted too many were given back, "
               f"{found.added} too few were added")
    if found.left_out:
        click.echo(f"{found.left_out} spaces were left out: something was just put there, or nodes don't have the "
                   "same. Count again in ten minutes.")
        raise click.exceptions.Exit(3)


def _nodes(urls: tuple[str, ...]) -> tuple[str, ...]:
    """The addresses of nodes, for an installation that can reach them."""
    try:
        nodes = SETTINGS["cluster.nodes"].parse(urls)
    except ValueError:
        raise BadConfiguration("--nats wants nats://HOST:PORT") from None
    try:
        importlib.import_module("nats")
    except ImportError:
        raise BadConfiguration("this installation has no NATS client", "pip install chez[cluster]") from None
    return tuple(nodes)


async def _told(work: Coroutine[None, None, T], slow: str) -> T:
    """What comes of something done to a cluster; where that takes long, it is said why."""
    doing = asyncio.ensure_future(work)
    if not (await asyncio.wait((doing,), timeout=SILENT_SECONDS))[0]:
        click.echo(f"chez-relay: {slow}", err=True)
    return await doing


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
