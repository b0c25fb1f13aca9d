"""`chez-job publish` and `chez-job acknowledge`: what a provider says in the catalogue of its own home."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from chez.cli.client import call
from chez.cli.context import add_common, settings
from chez.cli.terminal import json_line, say
from chez.errors import InvalidValue
from chez_sandbox.bundle import open_bundle
from chez_sandbox.job_errors import CatalogueInvalid
from chez_sandbox.offers.acknowledged import Batch
from chez_sandbox.offers.feed import Line as CatalogueLine
from chez_sandbox.provider.acknowledging import AT_ONCE, token_in
from chez_sandbox.provider.keys import ProviderKeys, load_keys
from chez_sandbox.provider.results import BEGINNING, ResultBook
from chez_sandbox.provider.trying import read_file

__all__ = ("SPACE", "acknowledge", "publish", "tell")

KEY: Final = click.option(
    "--key", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The provider's key file."
)
SPACE: Final = click.option(
    "--space", default="Jobs", show_default=True, metavar="NAME",
    help="The public space of your home that is the catalogue; made if there is none.",
)  # fmt: skip


@add_common
@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, dir_okay=False))
@KEY
@SPACE
@click.pass_context
def publish(ctx: click.Context, bundle: Path, key: Path, space: str) -> None:
    """Offer a signed bundle to everybody, in the catalogue of your home: a line that can't be taken back."""
    opened, keys = open_bundle(read_file(bundle)), load_keys(key)
    if opened.manifest.provider.signing_key != keys.signing.public.hex():
        raise InvalidValue(f"{bundle} is signed by another key than {key}", "publish with the key that signed it")
    asked: dict[str, Any] = {"bundle": opened.encoded, "space": space}
    done = call(ctx, "job-compose-offer", asked)
    if (body := done["line"]) is not None:
        line = msgspec.msgpack.decode(bytes.fromhex(body), type=CatalogueLine)
        if (line.provider, line.bundle) != (keys.signing.public, opened.hash):
            raise CatalogueInvalid("the home gave a line about another bundle to sign", "nothing was signed")
        done = call(ctx, "job-publish", asked | {"line": line.encoded, "signature": line.sign(keys.signing)})
    if settings(ctx).json:
        json_line({name: value for name, value in done.items() if name != "line"})
        return
    say(f"{done['job']} {done['version']} is line {done['number']}: {done['bundle']}\nhead     {done['head']}")
    say(f"address  {done['address']}" if done["address"] else "no address yet: chez relay set URL, then publish again")
    if done["problem"]:
        say(f"Not at the relay yet: {done['problem']}", err=True)


@add_common
@click.command()
@KEY
@SPACE
@click.option("--results", "path", type=click.Path(path_type=Path, dir_okay=False),
              help="Where results are kept (default: results.jsonl beside the key).")  # fmt: skip
@click.pass_context
def acknowledge(ctx: click.Context, key: Path, space: str, path: Path | None) -> None:
    """Tell people that you received their results, so that each sees it of their own, and nobody of others'."""
    keys = load_keys(key)
    book = ResultBook(path or key.with_name("results.jsonl"), keys)
    tokens = [token for line in book.lines(BEGINNING) if (token := token_in(line.value)) is not None]
    messages, problem = 0, ""
    for at in range(0, len(tokens), AT_ONCE):
        count, said = tell(ctx, keys, space, tokens[at : at + AT_ONCE])
        messages, problem = messages + count, said or problem
    if settings(ctx).json:
        json_line({"messages": messages, "problem": problem})
        return
    say(f"{messages} acknowledged" if messages else "nothing new to acknowledge")
    if problem:
        say(f"Not at the relay yet: {problem}", err=True)


def tell(ctx: click.Context, keys: ProviderKeys, space: str, tokens: Sequence[bytes]) -> tuple[int, str]:
    """Acknowledge messages by their tokens, at most `AT_ONCE`: how many were new, and why they are not at the relay."""
    asked = {"space": space, "provider": keys.signing.public, "tokens": list(tokens)}
    made = call(ctx, "job-compose-acknowledgements", asked)
    batches = [msgspec.msgpack.decode(bytes.fromhex(body), type=Batch) for body in made["batches"]]
    if any(batch.provider != keys.signing.public for batch in batches):
        raise CatalogueInvalid("the home gave another provider's batch to sign", "nothing was signed")
    signed = [(batch.encoded, batch.sign(keys.signing)) for batch in batches]
    problem = call(ctx, "job-acknowledge", {"space": space, "batches": signed})["problem"] if signed else ""
    return made["messages"], problem
