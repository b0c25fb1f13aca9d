"""relay, sync: the home and its relay."""

import click

from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.terminal import json_line, say

__all__ = ("relay", "sync")


@click.command()
@click.argument("url", required=False)
@click.pass_context
def relay(ctx: click.Context, url: str | None) -> None:
    """Set the relay this home uses (ws:// or wss://), or show it."""
    done = call(ctx, "relay-set", {"url": url})
    json_line(done) if settings(ctx).json else say(done["relay"] or "no relay is set")


@click.command()
@click.option("--relay", "url", metavar="URL", help="Use this relay instead of the home's.")
@click.option("--timeout", type=click.FloatRange(0.1, 86_400), default=30, show_default=True, metavar="SECONDS",
              help="Give up after so long; what was exchanged stays.")
@click.option("--reseed", is_flag=True,
              help="Read the relay from its beginning, and send it every entry that it lacks, whoever wrote it.")
@click.pass_context
def sync(ctx: click.Context, url: str | None, timeout: float, reseed: bool) -> None:
    """Send everything that waits, fetch everything new, and return."""
    report = call(ctx, "sync", {"url": url, "timeout": timeout, "reseed": reseed})
    if settings(ctx).json:
        json_line(report)
    else:
        say(f"in step with {report['relay']}: {report['sent']} sent, {report['received']} received")
        for space in report["problems"]:
            say(f"not in step: space {space['name']!r}: {space['problem']}", err=True)
        if report["unanswered"]:
            say(f"who came by an invitation was not answered: {report['unanswered']}", err=True)
