"""What waits stays on this device where nothing of it may leave: no relay is given any, and nothing is sealed."""

import pytest

from chez.errors import HomeCopied
from chez.spaces.space import add_to_space
from chez.spaces.statements import Cut, Role, SetRole, sign_statement
from chez.sync.chains import last_entry
from chez.sync.copied import note_copy
from chez.sync.entry import CHANGES
from tests.sync.test_hearing import RELAY, Family, Home
from tests.sync.test_offers import taken_out


def waiting(family: Family, n: int) -> Home:
    """A device that gave a relay everything of a space, and wrote something since."""
    home = family.other
    author = home.replicas[n].author
    for one in author.unacknowledged(home.db, RELAY):
        author.acknowledged(home.db, RELAY, one, None)
    home.records.put(home.db, n, "notes", "a", {"x": 1})
    return home


@pytest.mark.parametrize("why", ["silent", "regains", "unmet"])
def test_who_may_say_nothing_seals_nothing(why: str) -> None:
    """A device that is not certified yet, one that reads again what it had erased, and a relay that was never met."""
    family = Family()
    home = waiting(family, 1)
    replica, db = home.replicas[1], home.db
    relay, before = RELAY, home.count("entry")
    if why == "silent":
        replica.access.silent = True
    elif why == "regains":
        replica.space.regains = (1, 1)
    else:
        relay = 2
    assert replica.author.outgoing(db, relay) == []
    assert (home.count("entry"), home.count("sealed")) == (before, 0)
    replica.access.silent, replica.space.regains = False, None
    assert len(replica.author.outgoing(db, RELAY)) == 1


def test_who_may_say_nothing_gives_no_relay_what_it_has() -> None:
    """Neither what this device wrote, nor what others did."""
    family = Family()
    home = waiting(family, 1)
    replica, db = home.replicas[1], home.db
    replica.author.collect(db)
    replica.relays.kept |= {RELAY, 2}
    db.execute("INSERT INTO lacking (relay, entry) SELECT ?, n FROM entry", (RELAY,))
    replica.access.silent = True
    assert replica.author.overdue(db, RELAY, at_once=True) == []
    db.execute("INSERT OR IGNORE INTO lacking (relay, entry) SELECT ?, n FROM entry", (RELAY,))
    assert replica.author.unacknowledged(db, RELAY) == [] and home.count("sealed") == 0


def test_who_may_only_read_from_now_on_sends_none_of_what_it_wrote() -> None:
    """Its person's role was lowered before it could send that: others would refuse its chain from there on."""
    family = Family()
    n = family.shared
    home = waiting(family, n)
    replica, keys = home.replicas[n], family.founder.member.keys
    lowered = sign_statement(SetRole(replica.space.id, replica.space.membership.named_heads, keys.id,
                                     family.house.person, Role.READER, []), keys.signing)
    add_to_space(home.db, n, [lowered], [], sent=True)
    replica.hear()
    assert CHANGES not in [entry.inner.kind for _, entry in replica.author.collect(home.db)]
    assert replica.access.role is Role.READER


def test_a_home_that_heard_of_its_copy_leaves_nothing_and_meets_nobody() -> None:
    """Whether it is connected just then, or is about to be: its next entry would be another under the same number."""
    home = waiting(Family(), 1)
    replica, db = home.replicas[1], home.db
    note_copy(db)
    for step in (lambda: replica.author.outgoing(db, RELAY), lambda: replica.resume(db, RELAY, bytes(32)),
                 lambda: replica.check_place(db, RELAY)):
        with pytest.raises(HomeCopied):
            step()
    assert home.count("sealed") == 0


@pytest.mark.parametrize("lowered", [True, False])
def test_what_this_device_wrote_beyond_a_cut_counts_here_as_for_others_while_it_reads(lowered: bool) -> None:
    """Its person may only read from now on: it shows what all show. Who was taken out keeps what is here, as it is."""
    family = Family()
    n, founder = family.shared, family.founder
    home = waiting(family, n)
    replica, device = home.replicas[n], home.member.keys.id
    replica.author.outgoing(home.db, RELAY)
    sequence, _, _ = last_entry(home.db, n, device)
    (accepted,) = home.db.execute("SELECT hash FROM entry WHERE space = ? AND author = ? AND sequence = ? "
                                  "UNION ALL SELECT zeroblob(32)", (n, device, sequence - 1)).fetchone()
    keys, space = founder.member.keys, founder.replicas[n].space
    if lowered:
        said = [sign_statement(SetRole(space.id, space.membership.named_heads, keys.id, family.house.person,
                                       Role.READER, [Cut(device, sequence - 1, accepted)]), keys.signing)]
    else:
        taken_out(family)
        said = founder.replicas[n].space.membership.statements
    add_to_space(home.db, n, said, [], sent=True)
    replica.hear()
    replica.recount(home.db)
    assert replica.access.role is (Role.READER if lowered else None)
    (shown,) = home.db.execute("SELECT count(*) FROM record WHERE space = ? AND deleted = 0", (n,)).fetchone()
    assert shown == (0 if lowered else 1)
