"""Notes in the terminal: what another device writes shows while you type (see examples/README.md)."""
