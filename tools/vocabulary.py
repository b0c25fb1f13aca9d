"""The page of the vocabulary, and the forms that its types had so far.

`python -m tools.vocabulary > docs/vocabulary.md` writes the page. `python -m tools.vocabulary forms` adds the forms of
today to FORMS, unless one of them breaks the rule that the vocabulary's docstring states: what is there stays as
it is for ever. A test fails when page, forms and types differ, so that no change of a type goes unseen.
"""

import ast
import inspect
import json
from pathlib import Path
from typing import Any, Final

import msgspec

from chez import vocabulary
from chez.records.types import collection_of
from tools.surface import Class, find

__all__ = ("FORMS", "Form", "broken", "form_of", "forms", "page", "recorded")

FORMS: Final = Path(__file__).parent / "vocabulary.json"
"""Each collection's forms, the first one first."""

Form = dict[str, Any]
"""`name`, `version`, `identity` and `fields` of a type: for each its JSON Schema, default included, and whether it is
required."""

HEAD: Final = """\
# The vocabulary

*Generated from the types by `python -m tools.vocabulary`; change them, not this page.*

"""


def page() -> str:
    """The whole page, in Markdown."""
    parts = [HEAD, inspect.cleandoc(vocabulary.__doc__ or ""), "\n\n| collection | type | |\n|---|---|---|\n"]
    kinds = [(kind, found) for kind in vocabulary.VOCABULARY if isinstance(found := find(kind), Class)]
    parts += [f"| `{collection_of(kind)}` | [`{one.name}`](#{one.name.lower()}) | {one.doc.splitlines()[0]} |\n"
              for kind, one in kinds]
    parts += [_type(kind, one) for kind, one in kinds]
    return "".join(parts)


def _type(kind: type[msgspec.Struct], one: Class) -> str:
    form = form_of(kind)
    identity = ", ".join(f"`{name}`" for name in form["identity"])
    lines = [f"\n## `{one.name}`\n\n{one.doc}\n\n",
             f"Collection `{collection_of(kind)}`; identity {identity}; form {form['version']}.\n\n",
             "| field | type | default | |\n|---|---|---|---|\n"]
    for field in one.variables:
        default = "" if field.value is None else f"`{ast.unparse(field.value)}`"
        lines.append(f"| `{field.name}` | {_words(form['fields'][field.name]['schema'])} | {default} | "
                     f"{' '.join(field.doc.split())} |\n")
    return "".join(lines)


def _words(schema: dict[str, Any]) -> str:
    """What a field holds, as JSON has it, for people."""
    if "anyOf" in schema:
        return " or ".join(_words(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f'`"{value}"`' for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_words(schema['items'])}"
    return {"date-time": "instant", "date": "day", "decimal": "decimal"}.get(
        schema.get("format", ""), {"string": "text", "number": "number", "integer": "integer", "boolean": "yes or no",
                                   "null": "nothing"}[schema["type"]])


# --- forms --------------------------------------------------------------------------------------


def form_of(kind: type[msgspec.Struct]) -> Form:
    """A type as it is now."""
    name = kind.__name__
    schema = msgspec.json.schema(kind)["$defs"][name]
    required = frozenset(schema.get("required", ()))
    fields = {field: {"schema": given, "required": field in required} for field, given in schema["properties"].items()}
    return {"name": name, "version": kind.__version__,  # type: ignore[attr-defined]
            "identity": list(kind.__identity__),  # type: ignore[attr-defined]
            "fields": fields}


def recorded() -> dict[str, list[Form]]:
    """The forms that were published, by collection."""
    found: dict[str, list[Form]] = json.loads(FORMS.read_text(encoding="utf-8")) if FORMS.exists() else {}
    return found


def forms() -> str:
    """The published forms and those of today, as FORMS holds them. Raises `ValueError` when one breaks the rule."""
    known = recorded()
    for kind in vocabulary.VOCABULARY:
        now, earlier = form_of(kind), known.setdefault(collection_of(kind), [])
        if earlier and (problems := broken(earlier[-1], now)):
            raise ValueError("; ".join(problems))
        if not earlier or earlier[-1] != now:
            earlier.append(now)
    if gone := known.keys() - {collection_of(kind) for kind in vocabulary.VOCABULARY}:
        raise ValueError(f"{', '.join(sorted(gone))}: the type is gone")
    return _laid_out(known)


def broken(earlier: Form, now: Form) -> list[str]:
    """What the later form of a type does that none may, each as a sentence."""
    name = earlier["name"]
    found = []
    if now["name"] != name:
        found.append(f"{name} is called {now['name']}")
    if now["identity"] != earlier["identity"]:
        found.append(f"{name} has another identity")
    for field, given in earlier["fields"].items():
        if field not in now["fields"]:
            found.append(f"{name}.{field} is gone")
        elif now["fields"][field] != given:
            found.append(f"{name}.{field} has another type or default")
    added = now["fields"].keys() - earlier["fields"].keys()
    found += [f"{name}.{field} is new and has no default" for field in sorted(added)
              if now["fields"][field]["required"]]
    version = earlier["version"] + bool(added)
    if now["version"] != version:
        found.append(f"{name} is at form {now['version']}; its `__version__` must be {version}")
    return found


def _laid_out(known: dict[str, list[Form]]) -> str:
    """The forms as JSON with a line for each field, so that a difference can be read."""
    lines = []
    for collection, given in known.items():
        written = []
        for form in given:
            head = json.dumps({key: value for key, value in form.items() if key != "fields"})[:-1]
            fields = ",\n".join(f"    {json.dumps(name)}: {json.dumps(one)}" for name, one in form["fields"].items())
            written.append(f'  {head}, "fields": {{\n{fields}}}}}')
        lines.append(f"{json.dumps(collection)}: [\n" + ",\n".join(written) + "]")
    return "{\n" + ",\n".join(lines) + "}\n"


if __name__ == "__main__":
    import sys

    if sys.argv[1:] == ["forms"]:
        FORMS.write_text(forms(), encoding="utf-8")
    else:
        sys.stdout.write(page())
