"""How often something may be done: token buckets, whose time is an argument.

A bucket holds up to `burst` tokens and gets `rate` more each second; each time takes one, or as many as it costs.
"""

from dataclasses import dataclass, field

__all__ = ("Bucket", "Buckets")


@dataclass(slots=True)
class Bucket:
    """One bucket, full at first. Times are seconds of any clock that does not go back."""

    burst: float
    rate: float
    _left: float = field(init=False)
    _at: float | None = None

    def __post_init__(self) -> None:
        self._left = self.burst

    def take(self, now: float, count: int = 1) -> bool:
        """Take so many tokens, if they are there; what takes more than there can be is owed, of a bucket that is full.
        """
        self._fill(now)
        if self._left < min(count, self.burst):
            return False
        self._left -= count
        return True

    def full(self, now: float) -> bool:
        """Whether nothing was taken that did not come back: a new one would do as well."""
        self._fill(now)
        return self._left >= self.burst

    def _fill(self, now: float) -> None:
        passed = 0.0 if self._at is None else max(0.0, now - self._at)
        self._left = min(self.burst, self._left + passed * self.rate)
        self._at = now


@dataclass(slots=True)
class Buckets:
    """A bucket for each name (an address). They outlive connections, or a new one would begin afresh."""

    burst: float
    rate: float
    _buckets: dict[str, Bucket] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str, now: float) -> bool:
        """Take one token of this name's bucket, if there is one."""
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket(self.burst, self.rate)
        return bucket.take(now)

    def forget_full(self, now: float) -> None:
        """Let go of buckets that are as good as new."""
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if not bucket.full(now)}
