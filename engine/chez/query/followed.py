"""Whose rows answer for a collection, of the public spaces that the person follows.

Who writes there decides what the collections are called, and must not put rows among the person's own, or another
dataset's. So a dataset's space answers for collections that begin with `open_` and the dataset's name, and for no
other, and a provider's catalogue for none.
"""

from collections.abc import Iterable
from typing import Final

from chez.query.paths import fold
from chez.records.types import OPEN
from chez.store.database import Connection

__all__ = ("CATALOGUES", "FOLLOWED", "PUBLISHED", "first_table", "is_table_of", "others", "outside", "whose")

FOLLOWED: Final = "chez.open_data"
"""The private space's collection of what is followed as open data, by the spaces' ids (`chez.opendata.following`); of
what the person publishes, too, which is of this kind:"""
PUBLISHED: Final = "published"
CATALOGUES: Final = "chez.catalogues"
"""That of providers' catalogues (`chez_sandbox.offers.following`)."""


def outside(db: Connection, private: int, followed: str) -> str:
    """The condition that leaves out the spaces that a collection of the private space names; empty where there are
    none."""
    # In the private space alone: a member of a shared one could else hide any space's rows.
    found = db.execute("SELECT n FROM space WHERE n != ? AND lower(hex(id)) IN "
                       "(SELECT id FROM record WHERE space = ? AND collection = ? AND deleted IN (0, 2) "
                       "AND json ->> '$.kind' IS NOT ?)",
                       (private, private, followed, PUBLISHED))  # 2: what it says is still to come
    return _without(n for (n,) in found)


def others(db: Connection, private: int, table: str) -> str:
    """The condition that leaves out, of a table of open data, what is followed as something else than its dataset.

    Of a dataset's that the person follows, or publishes, every other space is left out as well, but for the private
    one: who shares a space with the person must not put rows among those that a publisher signed.
    """
    its, followed = whose(db, private, table)
    spaces = db.execute("SELECT n, lower(hex(id)) FROM space WHERE n != ?", (private,)).fetchall()
    return _without(n for n, id in spaces if (id not in its if its else id in followed))


def whose(db: Connection, private: int, table: str) -> tuple[set[str], set[str]]:
    """The ids of the spaces of the dataset that has a table, none where no known one has it; and of those that are
    followed as something else."""
    # 2: what it says is still to come, so that its space has no table yet.
    followed = db.execute("SELECT record.id, record.json ->> '$.kind', record.json ->> '$.dataset', "
                          "record.json ->> '$.wanted' FROM record WHERE space = ? AND collection = ? "
                          "AND deleted IN (0, 2)", (private, FOLLOWED)).fetchall()
    datasets = {id: dataset for id, kind, dataset, wanted in followed
                if isinstance(dataset, str) and (kind == PUBLISHED or (kind != "catalogue" and wanted == 1))}
    names = datasets.values()
    its = {id for id, dataset in datasets.items() if is_table_of(table, dataset, names)}
    # Of one that the person publishes nobody else has a table, also where two devices did both at once.
    own = {id for id, kind, _, _ in followed if kind == PUBLISHED} & its
    return own or its, {id for id, kind, dataset, _ in followed
                 if kind == "catalogue" or not isinstance(dataset, str) or not is_table_of(table, dataset, names)}


def is_table_of(collection: str, dataset: str, followed: Iterable[str] = ()) -> bool:
    """Whether a collection is called as tables of a dataset are (`chez.opendata.loading.table_name`), and not as those
    of another one that is `followed`, whose name is longer: of "velov" and "velov-map", `open_velov_map` is the second
    one's (decision 0063).

    Who publishes one dataset must not put rows among those of another.
    """
    name, base = fold(collection), first_table(dataset)
    return _begins(name, base) and not any(
        len(other) > len(base) and _begins(name, other) for other in map(first_table, followed))


def first_table(dataset: str) -> str:
    """How the collections of a dataset are called: this, or this with `_` and more."""
    from chez.connectors.tables import slug

    return OPEN + slug(dataset)


def _begins(name: str, base: str) -> bool:
    return name == base or name.startswith(f"{base}_")


def _without(spaces: Iterable[int]) -> str:
    numbers = ", ".join(str(int(n)) for n in spaces)
    return f" AND record.space NOT IN ({numbers})" if numbers else ""
