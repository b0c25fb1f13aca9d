"""The command line and the owner process, from outside."""
