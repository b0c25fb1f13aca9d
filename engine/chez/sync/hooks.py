"""What the links of a home do in every transaction of its store: what was written is sealed in it, then sent."""

from collections.abc import Callable

from chez.store.database import Connection, Database
from chez.sync.link import Link

__all__ = ("hooks",)


def hooks(database: Database, links: list[Link], finish: Callable[[Connection], None],
          last: Callable[[Connection], None], committed: Callable[[], None], undone: Callable[[], None]) -> None:
    """Let every open link seal inside the store's transactions.

    `finish` does what is done once for all of a transaction, `last` what is left to do after the links; `committed`
    and `undone` hear how each ended.
    """

    def before_commit(db: Connection) -> None:
        finish(db)
        for link in tuple(links):  # the loop may add one, or end one
            link.before_commit(db)
        last(db)

    def after_commit() -> None:
        committed()
        for link in tuple(links):  # the loop may add one, or end one
            link.after_commit()

    def after_rollback() -> None:
        undone()
        for link in tuple(links):  # the loop may add one, or end one
            link.after_rollback()

    database.before_commit, database.after_commit, database.after_rollback = before_commit, after_commit, after_rollback
