"""The causal order of statements: which builds on which."""

from collections.abc import Iterable, Iterator

from chez.spaces.statements import Signed

__all__ = ("Dag", "numbers_of")


class Dag:
    """Statements that arrived with all they build on, each numbered, its past a set of bits.

    A past of n statements takes n bits, so 10,000 statements take some 6 MB; in return
    whether one knew another is one look. A number is higher than those of all it builds on.
    """

    def __init__(self) -> None:
        self.statements: list[Signed] = []
        self.heads: set[bytes] = set()
        self._index: dict[bytes, int] = {}
        self._past: list[int] = []
        self._depth: list[int] = []

    def __contains__(self, hash: bytes) -> bool:
        return hash in self._index

    def __len__(self) -> int:
        return len(self.statements)

    def add(self, statement: Signed) -> int:
        """Take in a statement whose heads are all here; its number."""
        parents = [self._index[head] for head in statement.heads]
        number = len(self.statements)
        self.statements.append(statement)
        self._index[statement.hash] = number
        self._past.append(self.closure_of(parents))
        self._depth.append(1 + max((self._depth[parent] for parent in parents), default=0))
        self.heads.difference_update(statement.heads)
        self.heads.add(statement.hash)
        return number

    def has(self, hashes: Iterable[bytes]) -> bool:
        """Whether all these statements are here."""
        return all(map(self._index.__contains__, hashes))

    def number(self, hash: bytes) -> int:
        """The number of a statement that is here."""
        return self._index[hash]

    def parents(self, number: int) -> list[int]:
        """The statements that a statement names."""
        return [self._index[head] for head in self.statements[number].heads]

    def past(self, number: int) -> int:
        """All that a statement builds on, as bits."""
        return self._past[number]

    def closure_of(self, numbers: Iterable[int]) -> int:
        """These statements and all they build on, as bits."""
        bits = 0
        for number in numbers:
            bits |= self._past[number] | (1 << number)
        return bits

    def common_past(self, bits: int) -> int:
        """All that every one of these statements builds on, as bits."""
        numbers = numbers_of(bits)
        common = self._past[next(numbers)]
        for number in numbers:
            common &= self._past[number]
        return common

    def top(self, hashes: Iterable[bytes]) -> tuple[int, ...]:
        """The numbers of statements that are here, but for those that another of them builds on."""
        return tuple(self.maximal(map(self._index.__getitem__, hashes)))

    def maximal(self, numbers: Iterable[int]) -> list[int]:
        """Those that no other of them builds on."""
        some = sorted(set(numbers))
        if len(some) == 1:
            return some
        covered = 0
        for number in some:
            covered |= self._past[number]
        return [number for number in some if not covered >> number & 1]

    def tops(self, bits: int) -> list[int]:
        """Those of a set of bits that no other of it builds on, in as many steps as there are of them."""
        found = []
        while bits:
            number = bits.bit_length() - 1
            found.append(number)
            bits &= ~(self._past[number] | 1 << number)
        return found[::-1]

    def ground(self, bits: int, top: Iterable[int]) -> int:
        """Of a closed set, the largest part that is closed too and in the past of each of the rest, as bits.

        `top` are those of the set that no other of it builds on.
        """
        ground = bits
        for number in top:
            ground &= self._past[number]
        seen, fresh = 0, bits & ~ground
        while fresh:
            for number in numbers_of(fresh):
                ground &= self._past[number]
            seen |= fresh
            fresh = bits & ~ground & ~seen
        return ground

    def before(self, a: bytes, b: bytes) -> bool:
        """Whether statement `b` builds on statement `a`."""
        return bool(self._past[self._index[b]] >> self._index[a] & 1)

    def ordered(self, bits: int) -> list[int]:
        """The statements of a set in canonical order: by depth, then hash."""
        return sorted(numbers_of(bits), key=lambda number: (self._depth[number], self.statements[number].hash))


def numbers_of(bits: int) -> Iterator[int]:
    """The numbers of the statements in a set of bits, lowest first."""
    if not bits:
        return
    low = (bits & -bits).bit_length() - 1
    digits = bin(bits >> low)[:1:-1]  # to look for the next one is a search in a string: in C, and no new number
    at = 0
    while at >= 0:
        yield low + at
        at = digits.find("1", at + 1)
