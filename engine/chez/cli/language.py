"""In which language a command answers: `--language`, else that of the terminal's locale."""

import os
from typing import Final

import click

__all__ = ("LANGUAGE", "language_of")

LANGUAGES: Final = ("en", "fr")


def language_of(locale: str) -> str:
    """The language of a locale's name such as "fr_FR.UTF-8"; English for whatever is not French."""
    return "fr" if locale.split("_")[0].split(".")[0].lower() == "fr" else "en"


def _chosen(ctx: click.Context, option: click.Parameter, value: str | None) -> str:
    # Asked here, not in the verb: the owner of a home may run under another locale than the terminal.
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return value or language_of(next(filter(None, names), ""))


LANGUAGE: Final = click.option("--language", type=click.Choice(LANGUAGES), callback=_chosen,
                               help="In which to answer (default: by your locale).")  # fmt: skip
"""The option; its command gets "en" or "fr"."""
