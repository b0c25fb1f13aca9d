"""`python -m chez.cli` is `chez`."""

from chez.cli.starting import importing

__all__ = ("main",)


def main() -> None:
    """Run `chez` and end the process, also where it is interrupted before it is there."""
    with importing("chez"):
        from chez.cli.main import main as begin
    begin()


if __name__ == "__main__":
    main()
