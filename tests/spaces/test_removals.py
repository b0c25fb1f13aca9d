"""Who took a device out, from what is here."""

from chez.spaces.membership import Membership
from chez.spaces.removals import OWN_ROOT, last_words, name_of, removed_by
from chez.spaces.space import SpaceKeys
from chez.spaces.statements import Cut, Role, Signed
from tests.spaces.people import ZEROS, Author, Person, begin

ANNA, BEN = Person("anna"), Person("ben")
LAPTOP, PHONE, TABLET = (device.id for device in ANNA.devices)
STATEMENTS = begin(ANNA)
CREATE = STATEMENTS[-1]
LET_IN = ANNA.certify([STATEMENTS[1].hash], 1, ANNA.devices[0].signing)
AND_IN = ANNA.certify([LET_IN.hash], 2, ANNA.devices[1].signing)
DEVICES = [*STATEMENTS, LET_IN, AND_IN]


def space(*statements: Signed, told_by: bytes | None = None) -> SpaceKeys:
    """Anna's space with these statements."""
    membership = Membership(CREATE.hash)
    membership.add(statements)
    return SpaceKeys(1, CREATE.hash, "ours", ZEROS, membership, {}, told_by is not None, told_by=told_by)


def test_nobody_took_out_who_is_in() -> None:
    """A device that belongs was removed by nobody."""
    assert removed_by(space(*DEVICES), PHONE) is None


def test_the_word_about_the_device_comes_first() -> None:
    """Expelled itself, or with the device that had let it in: whoever said that; kept by that word, by nobody."""
    laptop = ANNA.devices[0].signing
    itself = ANNA.expel([AND_IN.hash], TABLET, laptop)
    with_phone = ANNA.expel([AND_IN.hash], PHONE, ANNA.root)
    assert removed_by(space(*DEVICES, itself), TABLET) == LAPTOP
    assert removed_by(space(*DEVICES, with_phone), TABLET) == ANNA.id == removed_by(space(*DEVICES, with_phone), PHONE)
    at_once = ANNA.expel([AND_IN.hash], PHONE, laptop), ANNA.expel([AND_IN.hash], TABLET, ANNA.devices[1].signing)
    assert removed_by(space(*DEVICES, *at_once), TABLET) == PHONE and removed_by(
        space(*DEVICES, *at_once), PHONE) == LAPTOP
    kept = ANNA.expel([AND_IN.hash], PHONE, laptop, [AND_IN.hash])
    assert removed_by(space(*DEVICES, kept), TABLET) is None
    retired = Author(CREATE.hash, laptop).retire([kept.hash, CREATE.hash], Cut(PHONE, 0, ZEROS))
    assert removed_by(space(*DEVICES, kept, retired), PHONE) == LAPTOP


def test_a_word_without_effect_took_out_nobody() -> None:
    """A device that was expelled by the root expels others at the same time: void, so it is not who did it."""
    root = ANNA.expel([AND_IN.hash], PHONE, ANNA.root, [AND_IN.hash])
    void = ANNA.expel([AND_IN.hash], TABLET, ANNA.devices[1].signing)
    assert removed_by(space(*DEVICES, root, void), TABLET) is None


def test_a_device_goes_with_its_person() -> None:
    """A member who is removed is so with all devices; who comes back was removed by nobody."""
    enrol = BEN.enrol()
    certify = BEN.certify([enrol.hash], 0, BEN.root)
    owner = Author(CREATE.hash, ANNA.devices[0].signing)
    added = owner.add([CREATE.hash, certify.hash], BEN.id, Role.WRITER)
    gone = owner.remove([added.hash], BEN.id)
    device, held = BEN.devices[0].id, [*STATEMENTS, enrol, certify, added, gone]
    assert removed_by(space(*held), device) == LAPTOP
    assert removed_by(space(*held, owner.add([gone.hash], BEN.id, Role.READER)), device) is None


def test_a_farewell_tells_when_statements_do_not() -> None:
    """Who can read the log no more knows only who signed its farewell; a statement that is here says it better."""
    assert removed_by(space(*DEVICES, told_by=LAPTOP), PHONE) == LAPTOP
    said = ANNA.expel([AND_IN.hash], PHONE, ANNA.root)
    assert removed_by(space(*DEVICES, said, told_by=LAPTOP), PHONE) == ANNA.id


def test_the_last_words_of_a_device_are_who_took_it_out_and_what_lets_that_one_speak() -> None:
    """To those who started an epoch and knew of none of it: nobody else may have heard of a device that this one let
    in. Not again once who has the epoch said that the device is out; and in the person's own space alone."""
    laptop, tablet = (Author(CREATE.hash, ANNA.devices[n].signing) for n in (0, 2))
    epoch = laptop.epoch(sorted([CREATE.hash, LET_IN.hash]), 2, [CREATE.hash])
    gone = ANNA.expel([AND_IN.hash], PHONE, tablet.key)
    cut = Cut(PHONE, 0, ZEROS)
    unheard = tablet.retire(sorted([CREATE.hash, gone.hash]), cut)
    heard = laptop.retire(sorted([epoch.hash, gone.hash]), cut)

    def words(*said: Signed, at: Signed = epoch, private: bool = True) -> list[Signed]:
        keys = space(*DEVICES, epoch, *said)
        keys.private = private
        return last_words(keys, PHONE, at.hash)

    assert words(gone) == words(gone, unheard) == [AND_IN, gone]
    assert words() == words(gone, private=False) == words(gone, heard) == words(gone, heard, at=heard) == []


def test_names() -> None:
    """A device is called by its name, one's own root by what one keeps of it, others by person, strangers by id."""
    state = space(*DEVICES, BEN.enrol()).membership.state
    assert name_of(state, LAPTOP, {ANNA.id}) == "anna0"
    assert name_of(state, ANNA.id, {ANNA.id}) == OWN_ROOT
    assert name_of(state, BEN.id, {ANNA.id}) == "ben"
    assert name_of(state, bytes(32), {ANNA.id}) == "00000000"
