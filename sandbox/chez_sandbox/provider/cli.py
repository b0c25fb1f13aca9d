"""`chez-job`: what a provider does, from an empty folder to the results."""

import asyncio
import os
import secrets
from pathlib import Path

import click
import msgspec

from chez import inboxes
from chez.cli.asking import Asked
from chez.cli.group import Program
from chez.cli.program import run
from chez.cli.terminal import json_line, say, say_lines
from chez.errors import StorageFailed
from chez.shown import UNWRITABLE
from chez_sandbox.bundle import Kind, assemble_bundle, open_bundle, sign_bundle
from chez_sandbox.consent.inspect import describe, fingerprint, plain_words
from chez_sandbox.errors import SandboxError
from chez_sandbox.form.published import schema_text
from chez_sandbox.provider.keys import ProviderKeys, load_keys, save_keys
from chez_sandbox.provider.project import new_project, open_project
from chez_sandbox.provider.publishing import acknowledge, publish
from chez_sandbox.provider.receiving import KEY, results
from chez_sandbox.provider.trying import FOLDER, JSON, bundle_at, check, read_file, test
from chez_wire.limits import MAX_INBOX_TTL

__all__ = ("cli", "main")



@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="chez", message="%(prog)s %(version)s")
def cli() -> None:
    """Make a job, test it, sign it, and read its results.

    A job is code that goes to people's data; only a small result, checked against the
    manifest's schema, comes back.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run `chez-job` and end the process. Errors are one line and a hint, never a stack trace."""
    run("chez-job", cli, arguments, (SandboxError,))


# --- keys --------------------------------------------------------------------------


@cli.group()
def keys() -> None:
    """The provider's keys, card and inbox."""


@keys.command("new")
@click.option("--relay", required=True, metavar="URL", help="Where results wait: ws://HOST:PORT or wss://HOST.")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The key file to write.")
@click.option("--name", cls=Asked, prompt="Name that people will see", help="The provider's name.")
@click.option("--contact", cls=Asked, prompt="Contact for people", help="How people reach the provider.")
@click.option("--domain", default="example.org", show_default=True, help="The provider's domain.")
@JSON
def keys_new(relay: str, out: Path, name: str, contact: str, domain: str, as_json: bool) -> None:
    """Make keys and an inbox at a relay, and show the card."""
    seeds = [secrets.token_bytes(32).hex() for _ in range(4)]
    made = ProviderKeys(
        name=name, contact=contact, domain=domain, relay=relay, signing_seed=seeds[0], sealing_seed=seeds[1],
        inbox_owner_seed=seeds[2], inbox_writer_seed=seeds[3],
    )  # fmt: skip
    if out.exists() or not out.parent.is_dir():
        save_keys(out, made)  # says that it exists, or can't be written, before an inbox is made in vain
    _renew(made)
    save_keys(out, made)
    _card(made, as_json)


@keys.command("renew")
@KEY
@JSON
def keys_renew(key: Path, as_json: bool) -> None:
    """Keep the inbox at the relay for another 90 days (reading results does it too)."""
    loaded = load_keys(key)
    _renew(loaded)
    _card(loaded, as_json)


@keys.command("rotate")
@KEY
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The new key file.")
@JSON
def keys_rotate(key: Path, out: Path, as_json: bool) -> None:
    """Make a new signing key that the old one signs: people's grants and budgets stay what they are.

    Sealing key and inbox stay. Build and sign with the new file from now on; keep the old one safe, or destroy it.
    """
    made = load_keys(key).rotated(secrets.token_bytes(32))
    save_keys(out, made)
    _card(made, as_json)


@keys.command("card")
@KEY
@JSON
def keys_card(key: Path, as_json: bool) -> None:
    """Show what everybody may know of the provider."""
    _card(load_keys(key), as_json)


def _renew(loaded: ProviderKeys) -> None:
    asyncio.run(inboxes.create(loaded.relay, loaded.inbox_owner, loaded.inbox_writer.public, ttl=MAX_INBOX_TTL))


def _card(loaded: ProviderKeys, as_json: bool) -> None:
    card = loaded.card
    words = fingerprint(card.signing_key)
    if as_json:
        json_line({**msgspec.to_builtins(card), "fingerprint": words})
        return
    say(
        f"{card.name} ({card.domain}, {card.contact})\nkey       {card.signing_key}\nin words  {words}\n"
        f"inbox     {card.inbox} at {card.relay}"
        + "".join(f"\nbefore    {fingerprint(one.key)}" for one in reversed(card.formerly))
    )


# --- making a job ------------------------------------------------------------------


@cli.command()
@click.argument("name", type=click.Path(path_type=Path))
@click.option(
    "--template",
    type=click.Choice(["python", "component"]),
    default="python",
    show_default=True,
    help="Python source, or a component of less than a kilobyte that is one SELECT.",
)
def new(name: Path, template: Kind) -> None:
    """Make a job's folder: manifest, code, sample data."""
    new_project(name, template)
    say(f"{name}/ has a job that works. Next:  cd {name} && chez-job test")


@cli.command()
def schema() -> None:
    """Print the JSON Schema (2020-12) of manifest.toml, for editors and other tools."""
    click.echo(schema_text(), nl=False)


@cli.command()
@click.argument("path", default=".", type=click.Path(path_type=Path))
@JSON
def inspect(path: Path, as_json: bool) -> None:
    """Show a job as people will see it: a folder before it is signed, or a bundle. Nothing runs."""
    shown = describe(bundle_at(path))
    if as_json:
        json_line(shown)
        return
    say_lines(plain_words(shown))
    say("(a folder: not signed yet)" if path.is_dir() else "The signature is the provider's.", err=True)


cli.add_command(test)
cli.add_command(check)
cli.add_command(publish)
cli.add_command(acknowledge)
cli.add_command(results)


@cli.command()
@FOLDER
@KEY
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Default: ID-VERSION.chez here.")
@click.option("--sign", "also_sign", is_flag=True, help="Sign it too.")
def build(folder: Path, key: Path, out: Path | None, also_sign: bool) -> None:
    """Make a bundle of a job's folder; `chez-job sign` then signs it."""
    loaded = load_keys(key)
    project = open_project(folder, loaded)
    encoded = assemble_bundle(project.manifest_text, project.code, project.kind)
    target = out or Path(f"{project.manifest.id}-{project.manifest.version}.chez")
    if also_sign:
        encoded = sign_bundle(encoded, loaded.signing).encoded
    _write(target, encoded)
    if also_sign:
        say(f"{target}: signed, {open_bundle(encoded).hash.hex()}")
    else:
        say(f"{target}: {len(encoded)} bytes, not signed. Next:  chez-job sign {target} --key {key}")


@cli.command()
@click.argument("bundle", type=click.Path(path_type=Path, dir_okay=False))
@KEY
def sign(bundle: Path, key: Path) -> None:
    """Sign a bundle in place, and print its hash."""
    signed = sign_bundle(read_file(bundle), load_keys(key).signing)
    _write(bundle, signed.encoded)
    say(f"{bundle}: signed, {signed.hash.hex()}")


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise StorageFailed(f"{path} can't be written: {error.strerror}", UNWRITABLE) from None
