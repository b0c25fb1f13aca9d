"""How a manifest's text is checked: its places, its shape, its rules, and the schema that is published.

    places.py          where each key of a TOML text stands: line and column
    shape.py           what a value has that its JSON Schema does not allow, all of it at once
    rules.py           what no schema can say: the result can be counted, the budget suffices
    measurements.py    the same of values that are noised
    published.py       the JSON Schema of manifest.toml, for editors and other tools

Nothing is imported here.
"""

__all__ = ()
