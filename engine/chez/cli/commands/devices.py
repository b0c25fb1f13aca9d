"""relay, sync, pair, join: this device and the others."""

import asyncio
from typing import Any

import click

from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.terminal import json_line, say, table

__all__ = ("join", "pair", "relay", "sync")


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


@click.command()
@click.option("--relay", "url", metavar="URL", help="Use this relay instead of the home's.")
@click.option("--qr", is_flag=True, help="Show the code as a QR code, too, for a device with a camera.")
@click.option("--yes", is_flag=True, help="Let the other device in without asking (for scripts).")
@click.pass_context
def pair(ctx: click.Context, url: str | None, qr: bool, yes: bool) -> None:
    """Let another device of yours in: shows a code for `chez join` there.

    A code works once, for ten minutes. One wrong try burns it, and is told to you; after
    five within an hour no new code is made until that hour is over.
    """
    settings(ctx).yes = yes

    def show(data: dict[str, Any]) -> None:
        if settings(ctx).json:
            json_line(data)
        elif "code" in data:
            say(f"On the other device:  chez join {data['code']}")
            if qr:
                _show_qr(data["code"])
            say("The code works once. Waiting …", err=True)

    done = call(ctx, "pair", {"url": url}, show=show)
    json_line(done) if settings(ctx).json else say("the other device is in")


def _show_qr(text: str) -> None:
    from chez.qr import blocks

    for line in blocks(text):
        # In dark on light whatever the terminal's own colours are; without them in a pipe.
        click.echo(click.style(line, fg="black", bg="bright_white"))


@click.command()
@click.argument("code")
@click.option("--relay", "url", metavar="URL", help="The relay, where the code does not name it.")
@click.option("--name", help="What this device is called.")
@click.option("--kdf", type=click.Choice(["moderate", "minimum"]), default="moderate", hidden=True)
@click.pass_context
def join(ctx: click.Context, code: str, url: str | None, name: str | None, kdf: str) -> None:
    """Make this a device of yours, with the code that `chez pair` shows on another."""
    import chez
    from chez.cli import passphrases
    from chez.cli.commands.life import device_name, refuse_existing
    from chez.crypto import Kdf

    chosen = settings(ctx)
    refuse_existing(chosen.path)
    passphrase = passphrases.choose(chosen)

    async def run() -> Any:
        await chez.join(chosen.path, code, passphrase=passphrase, name=name or device_name(), relay=url,
                        kdf=Kdf.minimum() if kdf == "minimum" else Kdf.moderate())
        async with chez.open(chosen.path, passphrase=passphrase) as home:
            await home.sync()
            return [(info.name, info.records) for info in await home.collections()]

    held = asyncio.run(run())
    if chosen.json:
        json_line({"home": str(chosen.path), "collections": dict(held)})
        return
    say(f"joined: {chosen.path} now holds")
    table(("collection", "records"), held, right=("records",))
