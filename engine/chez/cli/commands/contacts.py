"""card, contact: one's own card, and the persons one knows."""

import sys
from pathlib import Path
from typing import Any, Final

import click

from chez.cli.client import call
from chez.cli.context import settings
from chez.cli.terminal import Terminal, json_line, safe, say, table, when
from chez.errors import InvalidValue, NotAllowed, NotFound

__all__ = ("card", "contact")

SHORT: Final = 12
"""Characters of an id that are shown to people."""

_LONGEST: Final = 1 << 20


@click.command()
@click.pass_context
def card(ctx: click.Context) -> None:
    """Print your card: what others need to share a space with you. There is no secret in it.

    It names all your devices. Give it to others by any way, and compare safety words with
    them afterwards (`chez contact verify`): they tell whether the card that arrived is yours.
    """
    done = call(ctx, "card", {})
    json_line(done) if settings(ctx).json else say(done["card"])


@click.group()
def contact() -> None:
    """Contacts: the persons you know, by the names that you give them.

    All your devices have them. NAME is a contact's name, or 8 characters of its id.
    """


@contact.command()
@click.argument("given", metavar="CARD")
@click.option("--name", help="What you call this person. Default: as the card says.")
@click.pass_context
def add(ctx: click.Context, given: str, name: str | None) -> None:
    """Keep a person's CARD: its text, a file with it, or - for standard input.

    Of somebody you have already it adds what is new: devices, and which were removed. A
    card of another person under a name that you gave is refused.
    """
    done = call(ctx, "contact-add", {"card": _read(given), "name": name})
    if settings(ctx).json:
        json_line(done)
        return
    say(f"{done['name']} is a contact, with {_devices(done)}")
    if not done["verified"]:
        say("Compare safety words before you trust it: chez contact verify, here and there.", err=True)


def _read(given: str) -> str:
    if given.lstrip().startswith("chez-"):
        return given
    if given == "-":
        return sys.stdin.read(_LONGEST + 1)
    path = Path(given)
    try:
        if path.stat().st_size > _LONGEST:
            raise InvalidValue(f"{given} is too long to be a card",
                               "a card is one line that `chez card` prints: is it the right file?")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"{given!r} is no card, and no file", "A card begins with chez-card:") from None
    except (OSError, UnicodeDecodeError):
        raise InvalidValue(f"{given} can't be read as a card",
                           "give the card itself, a file that holds it, or - for standard input") from None


def _devices(one: dict[str, Any]) -> str:
    names = one["devices"]
    return f"{'the device' if len(names) == 1 else f'{len(names)} devices:'} {safe(', '.join(names))}"


@contact.command("list")
@click.pass_context
def list_contacts(ctx: click.Context) -> None:
    """List your contacts."""
    found = call(ctx, "contact-list", {})
    if settings(ctx).json:
        for one in found:
            json_line(one)
        return
    table(("name", "calls itself", "id", "devices", "verified"), [
        (one["name"], one["called"], one["id"][:SHORT], ", ".join(one["devices"]), "yes" if one["verified"] else "no")
        for one in found], empty="There are no contacts yet: chez contact add CARD.")


@contact.command()
@click.argument("name")
@click.pass_context
def show(ctx: click.Context, name: str) -> None:
    """Show a contact, and the twelve safety words: the other one sees the same."""
    found = call(ctx, "contact-show", {"contact": name})
    if settings(ctx).json:
        json_line(found)
        return
    table(("", ""), [
        ("name", found["name"]), ("calls itself", found["called"]), ("id", found["id"]),
        ("devices", ", ".join(found["devices"])), ("added", when(found["added"])),
        ("spaces", ", ".join(found["spaces"]) or "none"), ("verified", "yes" if found["verified"] else "no"),
        *zip(("safety words", ""), _rows(found["words"]), strict=True)])


def _rows(words: str) -> tuple[str, str]:
    each = words.split()
    return " ".join(each[:6]), " ".join(each[6:])


@contact.command()
@click.argument("name")
@click.option("--no", "doubt", is_flag=True, help="Take it back: the words were not the same after all.")
@click.option("--yes", is_flag=True, help="Say that they are the same without being asked (for scripts).")
@click.pass_context
def verify(ctx: click.Context, name: str, doubt: bool, yes: bool) -> None:
    """Compare safety words with a contact, and say that they are the same.

    Face to face or by voice, where nobody can sit between: by the way that the cards came
    they prove nothing. Both of you see the same twelve words if you have each other's cards.
    """
    if doubt and yes:
        raise click.UsageError("--yes and --no exclude each other", ctx)
    if not (doubt or yes):
        found = call(ctx, "contact-show", {"contact": name})
        name = found["id"]  # whoever is called so when the person has answered
        for row in _rows(found["words"]):
            say(f"   {row}", err=True)
        if not Terminal(settings(ctx)).confirm(f"Does {found['name']!r} see the same words?"):
            raise NotAllowed("nothing was verified",
                             "If the words differ, the card you have is not that person's: remove it, ask for another.")
    done = call(ctx, "contact-verify", {"contact": name, "verified": not doubt})
    if settings(ctx).json:
        json_line(done)
    else:
        say(f"{done['name']} is {'verified' if done['verified'] else 'not verified any more'}")


@contact.command()
@click.argument("name")
@click.pass_context
def remove(ctx: click.Context, name: str) -> None:
    """Forget a contact. Spaces that you share stay as they are."""
    done = call(ctx, "contact-remove", {"contact": name})
    json_line(done) if settings(ctx).json else say(f"{done['name']} is no contact any more")
