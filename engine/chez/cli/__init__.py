"""`chez`: a home from the command line.

    __main__.py    where it begins: also Ctrl-C while it is imported is told as later (starting.py)
    main.py        the entry point: options, errors, exit codes
    program.py     how a program of ours ends: errors in one form, exit codes
    stopping.py    Ctrl-C and SIGTERM, and what a command says then; standard streams that are closed
    group.py       commands found by name, loaded when they are used
    client.py      one call: to the owner's socket, or to a home opened for it
    terminal.py    what a person sees; `safe` against hostile text
    passphrases.py prompt or file; never argv, never environment
    words.py       the 24 words and their shares: shown, asked back, typed
    commands/      the commands
    reference.py   docs/cli.md, from the commands themselves

The warm path (`chez get` with an owner running) imports click, msgspec and the standard
library only; a test looks at what was imported.
"""

__all__ = ()
