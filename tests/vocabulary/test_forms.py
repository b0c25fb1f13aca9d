"""What the types of the vocabulary promise of themselves, and keep when they change."""

import copy
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tools.surface import Class, find
from tools.vocabulary import FORMS, Form, broken, form_of, forms, page

from chez.records.types import collection_of
from chez.vocabulary import VOCABULARY, Transaction


def test_the_page_says_what_the_types_say() -> None:
    """docs/vocabulary.md is what `python -m tools.vocabulary` prints now."""
    there = Path(__file__).parents[2] / "docs" / "vocabulary.md"
    assert there.read_text(encoding="utf-8") == page(), "run: python -m tools.vocabulary > docs/vocabulary.md"


def test_no_form_changes_unseen() -> None:
    """Each type is at its last published form, and no form breaks the rule against the one before it."""
    assert FORMS.read_text(encoding="utf-8") == forms(), "run: python -m tools.vocabulary forms"


def _add(form: Form, required: bool) -> None:
    form["fields"]["colour"] = {"schema": {"type": "string"}, "required": required}


CHANGES: dict[str, tuple[Callable[[Form], object], str]] = {
    "a field is renamed": (lambda form: form["fields"].update(note=form["fields"].pop("memo")), "Transaction.memo is"),
    "a field's type": (lambda form: form["fields"]["memo"]["schema"].update(type="number"), "memo has another type"),
    "a default": (lambda form: form["fields"]["memo"]["schema"].update(default="?"), "another type or default"),
    "what was optional": (lambda form: form["fields"]["memo"].update(required=True), "memo has another type"),
    "identity": (lambda form: form.update(identity=["reference"]), "another identity"),
    "name": (lambda form: form.update(name="Payment"), "is called Payment"),
    "a field without default": (lambda form: _add(form, True), "colour is new and has no default"),
    "a field without a new version": (lambda form: _add(form, False), "`__version__` must be 2"),
    "a version without a field": (lambda form: form.update(version=2), "`__version__` must be 1"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_no_form_may_do(change: str) -> None:
    """A type that renames, retypes, requires or identifies anew is told so, in words."""
    make, words = CHANGES[change]
    earlier = form_of(Transaction)
    now = copy.deepcopy(earlier)
    make(now)
    assert any(words in one for one in broken(earlier, now)), broken(earlier, now)


def test_a_field_may_be_added() -> None:
    """A new field with a default, under the next version, is what a form may do."""
    earlier = form_of(Transaction)
    now = copy.deepcopy(earlier)
    _add(now, False)
    now["version"] = 2
    assert broken(earlier, now) == []


@pytest.mark.parametrize("kind", VOCABULARY, ids=lambda kind: kind.__name__)
def test_a_type_says_where_it_lives_what_it_is_about_and_what_it_follows(kind: type[msgspec.Struct]) -> None:
    """Each type has a collection of its own, an identity of plain fields, a public source, a sentence on each field."""
    assert re.fullmatch("[a-z_]{3,20}", collection_of(kind))
    assert [collection_of(one) for one in VOCABULARY].count(collection_of(kind)) == 1
    form = form_of(kind)
    assert form["identity"]
    for name in form["identity"]:
        schema = form["fields"][name]["schema"]
        assert schema.get("type") in ("string", "integer") or "enum" in schema
    found = find(kind)
    assert isinstance(found, Class)
    assert re.search(r"schema\.org|RFC \d|ISO \d|FHIR|IEC|GPX", found.doc)
    assert all(field.doc.endswith((".", '"')) for field in found.variables)
