"""Statements that are as entangled as a hostile member can make them: most of them unknown to most others."""

from chez.keys.device import DeviceKeys
from chez.spaces.statements import Role, Signed
from tests.spaces.people import Author, Person, begin, seed

__all__ = ("beside_roles", "devices_apart")


def devices_apart(count: int) -> list[Signed]:
    """A person's log of some `count`: expulsions in a row, certificates in another, and what knows all of the one and
    a part of the other, each another part.
    """
    third = count // 4
    person = Person("mallory")
    person.devices = [DeviceKeys.from_seeds(seed("mallory", n, "sign"), seed("mallory", n, "seal"))
                      for n in range(third + 3)]
    log = [person.enrol()]
    for n in range(third + 3):
        log.append(person.certify([log[-1].hash], n, person.root))
    gone, come = [log[-1].hash], [log[-1].hash]
    for n in range(third):
        log.append(person.expel([gone[-1]], person.devices[n].id, person.devices[third].signing))
        gone.append(log[-1].hash)
        log.append(person.certify([come[-1]], n % 5, person.devices[third + 1].signing, seed(n)))
        come.append(log[-1].hash)
    log += [person.certify([gone[-1], come[n + 1]], n % 5, person.devices[third + 2].signing, seed("last", n))
            for n in range(third)]
    return log


def beside_roles(count: int) -> tuple[bytes, list[Signed]]:
    """A space and some `count` statements: one owner lowers and raises a role again and again, another does elsewhere,
    and a third says things that know all of the one and a part of the other, each another part.
    """
    people = [Person(f"owner {n}") for n in range(6)]
    log = begin(people[0])
    space = log[-1].hash
    authors = [Author(space, person.devices[0].signing) for person in people]
    for person in people[1:]:
        heads = [log[-1].hash]
        enrol = person.enrol()
        log += [enrol, person.certify([enrol.hash], 0, person.root)]
        log.append(authors[0].add([*heads, log[-1].hash], person.id, Role.OWNER))
    one, other = [log[-1].hash], [log[-1].hash]
    for n in range(count // 3):
        log.append(authors[0].set_role([one[-1]], people[4].id, Role(n % 2)))
        one.append(log[-1].hash)
        log.append(authors[1].set_role([other[-1]], people[5].id, Role(2 * (n % 2))))
        other.append(log[-1].hash)
    for n in range(count // 3):
        log.append(authors[2].add([one[-1], other[n + 1]], people[4].id, Role.WRITER) if n % 2 else
                   authors[2].set_role([other[-1], one[n + 1]], people[3].id, Role.WRITER))
    return space, log
