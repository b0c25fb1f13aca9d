"""`python -m chez.cli` is `chez`."""

from chez.cli.main import main

__all__ = ()

main()
