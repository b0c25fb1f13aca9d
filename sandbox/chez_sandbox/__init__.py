"""Jobs: a provider's code comes to the person's data and only its result leaves.

Nothing is imported here: the worker process, which runs foreign code and must never
hold a key, starts by importing this package.
"""

__all__ = ()
