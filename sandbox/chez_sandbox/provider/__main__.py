"""`python -m chez_sandbox.provider` is `chez-job`."""

from chez.cli.starting import importing

__all__ = ("main",)


def main() -> None:
    """Run `chez-job` and end the process, also where it is interrupted before it is there."""
    with importing("chez-job"):
        from chez_sandbox.provider.cli import main as begin
    begin()


if __name__ == "__main__":
    main()
