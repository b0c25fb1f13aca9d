"""A draft's segments are put once the relay has what announces them, or nobody could ever let go of them."""

from chez.sync.checkpoints import making
from chez.sync.entry import CHECKPOINTS
from chez.sync.sealed import acknowledge, keep_sealed
from tests.checkpoints.bundles import filled


def test_what_comes_later_does_not_stand_for_an_announcement() -> None:
    """A relay without room for it takes a smaller entry that follows: the segments wait on."""
    _, maker = filled()
    db, n = maker.db, maker.replica.space.n
    (first, author), (later, _) = db.execute(
        "SELECT n, author FROM entry WHERE author = (SELECT author FROM entry LIMIT 1) ORDER BY n LIMIT 2").fetchall()
    assert making.begin(db, n, None, relay=1)
    db.execute("UPDATE cursor SET acknowledged = 0 WHERE space = ? AND relay = 1", (n,))
    assert making.announced(db, n, 1) is None
    held, sent = (keep_sealed(db, 1, entry, bytes([entry]) * 100, CHECKPOINTS) for entry in (first, later))
    making.said(db, n, first)
    acknowledge(db, n, 1, sent, author)
    assert making.announced(db, n, 1) is False
    acknowledge(db, n, 1, held, author)
    assert making.announced(db, n, 1) is True
