"""Who took a device out of a space, by what is here: a statement, or the farewell that the device found.

And what it tells those who have not heard of it, as the one device that knows both sides.
"""

from collections.abc import Container
from typing import Final

from chez.spaces.space import SpaceKeys
from chez.spaces.state import State
from chez.spaces.statements import Body, Expel, PersonBody, Remove, Retire, Signed

__all__ = ("OWN_ROOT", "last_words", "name_of", "removed_by")

OWN_ROOT: Final = "your 24 words"
"""What a person's own root key is called to that person."""


def removed_by(space: SpaceKeys, device: bytes) -> bytes | None:
    """The device, or the person (whose root key spoke), that took a device out; None when nobody is known to have.

    What concerns the very device comes before what it went with, the device that had let it in
    or its whole person; of several statements the first.
    """
    membership = space.membership
    state = membership.state
    void = {statement.hash for statement, _ in membership.void()}
    above = _above(state, device)
    found: dict[int, bytes] = {}
    for statement in membership.statements:
        taken = None if statement.hash in void else _taken(statement.body, device, state, above)
        if taken is not None:
            found.setdefault(*taken)
    if found:
        return found[min(found)]
    return space.told_by if space.farewell else None


def last_words(space: SpaceKeys, device: bytes, epoch: bytes) -> list[Signed]:
    """What a device that was taken out of its person's space tells those who started an `epoch` without knowing of it.

    Whoever took it out did not know that epoch either, and may have no keys to be heard: it may be a
    device that this very one let in, of which nobody else knows. Then only this one has that word, and
    what lets the other one speak.
    """
    membership, state = space.membership, space.membership.state
    if not space.private or state.right(device) is not None or not membership.knows((epoch,)) or (
            membership.right(device, (epoch,)).role is None):
        return []
    said = membership.statements
    words = [one for one in said if isinstance(one.body, Expel) and one.body.device == device]
    cuts = [one.hash for one in said if isinstance(one.body, Retire) and one.body.cut.device == device
            and (membership.before(epoch, one.hash) or membership.before(one.hash, epoch))]
    words = [one for one in words if not any(membership.before(one.hash, cut) for cut in cuts)]
    apart = {one.issuer for one in words}
    let_in = {id for id in state.certificates if device in _above(state, id)} | {device}
    return [one for one in said if one in words or (
        isinstance(one.body, PersonBody) and one.issuer in let_in | apart
        and any(membership.before(one.hash, word.hash) for word in words))]


def name_of(state: State, id: bytes, own: Container[bytes]) -> str:
    """What the device or person of an id is called to `own` persons: by its name, else by the beginning of the id."""
    if id in own:
        return OWN_ROOT
    device, known = state.device(id), state.persons.get(id)
    return device.name if device is not None else known.name if known is not None else id.hex()[:8]


def _taken(body: Body, device: bytes, state: State, above: set[bytes]) -> tuple[int, bytes] | None:
    """How closely a statement concerns a device that it takes out (0 is closest), and whose word it is."""
    match body:
        case Expel(device=gone) if gone == device:
            return 0, body.issuer
        case Retire(cut=cut) if cut.device == device:
            return 1, body.issuer
        case Expel(device=gone) if gone in above and device in state.expelled:
            return 2, body.issuer
        case Remove(person=person) if person in state.persons_of(device) and state.role(person) is None:
            return 3, body.issuer
    return None


def _above(state: State, device: bytes) -> set[bytes]:
    """The devices that let it in, or those that did so, and so on."""
    found: set[bytes] = set()
    ready = [device]
    while ready:
        issuers = {certificate.issuer for certificate in state.certificates.get(ready.pop(), {}).values()}
        ready += issuers - found
        found |= issuers
    return found
