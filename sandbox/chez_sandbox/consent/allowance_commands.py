"""`chez job allowance`: what a person does with what each device may let out, on the command line."""

from typing import Any

import click

from chez.cli.asking import Number
from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.language import LANGUAGE
from chez.cli.terminal import say_told
from chez_sandbox.consent.catalogue import Language

__all__ = ("allowance",)


@click.group(invoke_without_command=True)
@LANGUAGE
@click.pass_context
def allowance(ctx: click.Context, language: Language) -> None:
    """What each of your devices may still let out of each account, and moving it between them."""
    if ctx.invoked_subcommand is None:
        _answer(ctx, call(ctx, "job-allowance", {"language": language}))


@allowance.command()
@click.argument("device")
@click.argument("account", required=False)
@click.argument("amount", type=Number(), required=False)
@click.option("--yes", is_flag=True, help="Give what the device asks for without asking you (for scripts).")
@LANGUAGE
@click.pass_context
def give(
    ctx: click.Context, device: str, account: str | None, amount: float | None, yes: bool, language: Language
) -> None:
    """Give another device so much of an account (bits, epsilon or runs), or all that it asks for."""
    settings(ctx).yes = yes
    asked = {"device": device, "account": account, "amount": amount, "language": language}
    done = call(ctx, "job-allowance-give", asked)
    _answer(ctx, done)
    if not done["given"]:
        ctx.exit(1)


@allowance.command()
@click.argument("what")
@click.argument("amount", type=Number(), required=False)
@click.option("--runs", type=int, default=1, show_default=True, help="For so many runs of the grant.")
@LANGUAGE
@click.pass_context
def ask(ctx: click.Context, what: str, amount: float | None, runs: int, language: Language) -> None:
    """Ask your other devices for so much of an account, or for what runs of a grant (by its id) take."""
    asked = {"what": what, "amount": amount, "runs": runs, "language": language}
    _answer(ctx, call(ctx, "job-allowance-ask", asked))


@allowance.command()
@click.argument("device")
@click.option("--yes", is_flag=True, help="Do it without asking (for scripts).")
@LANGUAGE
@click.pass_context
def reclaim(ctx: click.Context, device: str, yes: bool, language: Language) -> None:
    """Take over what a removed device held: your word that it will not spend it. Once, on one device."""
    settings(ctx).yes = yes
    done = call(ctx, "job-allowance-reclaim", {"device": device, "language": language})
    _answer(ctx, done)
    if done["reclaimed"] is None:
        ctx.exit(1)


@allowance.command()
@click.argument("account")
@click.argument("runs", type=int)
@click.option("--yes", is_flag=True, help="Raise it without asking (for scripts).")
@LANGUAGE
@click.pass_context
def ceiling(ctx: click.Context, account: str, runs: int, yes: bool, language: Language) -> None:
    """Set how often all jobs of a provider may run, over all your devices; on the one that holds the rest."""
    settings(ctx).yes = yes
    done = call(ctx, "job-allowance-ceiling", {"account": account, "runs": runs, "language": language})
    _answer(ctx, done)
    if done["ceiling"] is None:
        ctx.exit(1)


def _answer(ctx: click.Context, done: dict[str, Any]) -> None:
    say_told(done, json=settings(ctx).json)
