"""`python -m chez_deposit` is `chez-deposit`."""

from chez.cli.starting import importing

__all__ = ("main",)


def main() -> None:
    """Run `chez-deposit` and end the process, also where it is interrupted before it is there."""
    with importing("chez-deposit"):
        from chez_deposit.cli import main as begin
    begin()


if __name__ == "__main__":
    main()
