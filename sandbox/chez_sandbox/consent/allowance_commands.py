"""`chez job allowance`: what a person does with what each device may let out, on the command line."""

from typing import Any

import click

from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.language import LANGUAGE
from chez.cli.terminal import json_line, say
from chez_sandbox.consent.catalogue import Language

__all__ = ("allowance",)


@click.group(invoke_without_command=True)
@LANGUAGE
@click.pass_context
def allowance(ctx: click.Context, language: Language) -> None:
    """What each of your devices may still let out of each account, and moving it between them."""
    if ctx.invoked_subcommand is None:
        done = call(ctx, "job-allowance", {"language": language})
        _answer(ctx, {key: value for key, value in done.items() if key != "words"}, done["words"])


@allowance.command()
@click.argument("device")
@click.argument("account", required=False)
@click.argument("amount", type=float, required=False)
@click.option("--yes", is_flag=True, help="Give what the device asks for without asking you (for scripts).")
@click.pass_context
def give(ctx: click.Context, device: str, account: str | None, amount: float | None, yes: bool) -> None:
    """Give another device so much of an account (bits, epsilon or runs), or all that it asks for."""
    settings(ctx).yes = yes
    done = call(ctx, "job-allowance-give", {"device": device, "account": account, "amount": amount})
    words = [f"Given to {one['to']!r}: {one['amount']:,g} of {one['account']}." for one in done["given"]]
    _answer(ctx, done, [*words, "It counts there when both have synced."] if words else ["Not given."])
    if not words:
        ctx.exit(1)


@allowance.command()
@click.argument("what")
@click.argument("amount", type=float, required=False)
@click.option("--runs", type=int, default=1, show_default=True, help="For so many runs of the grant.")
@click.pass_context
def ask(ctx: click.Context, what: str, amount: float | None, runs: int) -> None:
    """Ask your other devices for so much of an account, or for what runs of a grant (by its id) take."""
    done = call(ctx, "job-allowance-ask", {"what": what, "amount": amount, "runs": runs})
    wanted = ", ".join(f"{amount:,g} of {account}" for account, amount in done["asked"].items())
    give = f"On one that has it, when both have synced: chez job allowance give {done['device']!r}"
    _answer(ctx, done, [f"Asked for {wanted}.", give])


@allowance.command()
@click.argument("device")
@click.option("--yes", is_flag=True, help="Do it without asking (for scripts).")
@click.pass_context
def reclaim(ctx: click.Context, device: str, yes: bool) -> None:
    """Take over what a removed device held: your word that it will not spend it. Once, on one device."""
    settings(ctx).yes = yes
    done = call(ctx, "job-allowance-reclaim", {"device": device})
    if done["reclaimed"] is None:
        _answer(ctx, done, ["Nothing was taken over."])
        ctx.exit(1)
    words = [f"Taken over of {done['device']!r}: {amount:,g} of {name}." for name, amount in done["reclaimed"].items()]
    rest = ["Taken over: all that it never spent or gave of."] if done["rest"] else []
    _answer(ctx, done, [*words, *rest] or ["It held nothing."])


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
    _answer(ctx, {key: value for key, value in done.items() if key != "words"}, done["words"])
    if done["ceiling"] is None:
        ctx.exit(1)


def _answer(ctx: click.Context, done: Any, words: list[str]) -> None:
    if settings(ctx).json:
        json_line(done)
    else:
        say("\n".join(words))
