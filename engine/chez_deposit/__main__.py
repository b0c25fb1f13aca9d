"""`python -m chez_deposit`."""

from chez_deposit.cli import main

if __name__ == "__main__":
    main()
