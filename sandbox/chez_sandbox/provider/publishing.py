"""`chez-job publish`: a bundle becomes a line of the catalogue in the provider's own home."""

from pathlib import Path
from typing import Any

import click
import msgspec

from chez.cli.client import call
from chez.cli.context import add_common, settings
from chez.cli.terminal import json_line, say
from chez.errors import InvalidValue
from chez_sandbox.bundle import open_bundle
from chez_sandbox.job_errors import CatalogueInvalid
from chez_sandbox.offers.feed import Line
from chez_sandbox.provider.keys import load_keys
from chez_sandbox.provider.trying import read_file

__all__ = ("publish",)


@add_common
@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--key", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The provider's key file.")
@click.option("--space", default="Jobs", show_default=True, metavar="NAME",
              help="The public space of your home that is the catalogue; made if there is none.")  # fmt: skip
@click.pass_context
def publish(ctx: click.Context, bundle: Path, key: Path, space: str) -> None:
    """Offer a signed bundle to everybody, in the catalogue of your home: a line that can't be taken back."""
    opened, keys = open_bundle(read_file(bundle)), load_keys(key)
    if opened.manifest.provider.signing_key != keys.signing.public.hex():
        raise InvalidValue(f"{bundle} is signed by another key than {key}", "publish with the key that signed it")
    asked: dict[str, Any] = {"bundle": opened.encoded, "space": space}
    done = call(ctx, "job-compose-offer", asked)
    if (body := done["line"]) is not None:
        line = msgspec.msgpack.decode(bytes.fromhex(body), type=Line)
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
