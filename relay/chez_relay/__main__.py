"""`python -m chez_relay` is `chez-relay`."""

from chez_relay.cli import main

if __name__ == "__main__":
    main(prog_name="chez-relay")
